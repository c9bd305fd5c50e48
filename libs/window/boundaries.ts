/**
 * The end of the window that covers `timeS`. Windows of `lengthS` cover (startS, endS]: a reading
 * stamped t carries the energy of the interval that ends at t, so one stamped exactly at a boundary
 * belongs to the window ending there. Times that would fall before 1970 go into its first window.
 */
export function windowEnd(timeS: number, lengthS: number): number {
  return Math.max(lengthS, Math.ceil(timeS / lengthS) * lengthS)
}
