/** What every program needs to live on a machine: log, clock, start and stop, systemd, metrics. */
export { createLogger, prettyLine, type Logger, type LogLevel } from './logger.ts'
export {
  createMetrics,
  startMetrics,
  type Metrics,
  type MetricsOptions,
  type MetricsServer,
} from './metrics.ts'
export { createNotify, type Notify } from './notify.ts'
export { runService, type RunningService, type ServiceContext, type ServiceOptions } from './run.ts'
export { nodeFlags } from './runtime.ts'
export { systemClock, systemRandom } from './system.ts'
export { version } from './version.ts'
