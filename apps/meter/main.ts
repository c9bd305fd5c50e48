import { runProgram } from '#service'
import { loadMeterConfig, type MeterPlan } from './config.ts'
import { meterStopTimeoutMs, runMeter } from './run.ts'

await runProgram<MeterPlan & { log: { level: string } }>({
  name: 'meter',
  about: 'one meter or a fleet: measures, signs, keeps everything until the fog node has it',
  load: (path) => {
    const plan = loadMeterConfig(path)
    return { ...plan, log: plan.config.log }
  },
  start: (context, plan) => runMeter(context, plan),
  stopTimeoutMs: meterStopTimeoutMs,
})
