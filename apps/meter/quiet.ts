/** True the 1st, 2nd, 4th, 8th … time: for what goes on as long as the fog node is away. */
export function isWorthSaying(times: number): boolean {
  return (times & (times - 1)) === 0
}
