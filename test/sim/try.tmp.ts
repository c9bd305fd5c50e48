import { runSeed } from '/work/sim/test/sim/run.ts'
const [from, n] = process.argv.slice(2).map(Number)
let md=0, bad=0
const t0=process.cpuUsage().user
for (let s=from!; s<from!+n!; s++) {
  const t=performance.now()
  const r = runSeed(s, process.argv[4]==='trace' ? {print: (l)=>console.log(l)} : {})
  md += r.meterDays
  if (r.violations.length) { bad++; console.log(s, r.violations.slice(0,3).map(v=>v.slice(0,400)), r.rotten) }
  if (process.argv[4]==='v') console.log(s, r.digest, r.events, r.meterDays.toFixed(1), r.drainHours, JSON.stringify(r.account), (performance.now()-t).toFixed(0)+'ms', r.plan.intervalS, r.plan.mode, r.plan.realCrypto)
}
const cpu=(process.cpuUsage().user-t0)/1e6
console.log('bad', bad, 'meterDays', md.toFixed(0), 'per s', (md/cpu).toFixed(0), 'cpu', cpu.toFixed(1))
const c=(globalThis as any).__c; if(c) for (const [k,[n,t]] of [...c].sort((a:any,b:any)=>b[1][1]-a[1][1]).slice(0,12)) console.log(n, t.toFixed(0), k)
