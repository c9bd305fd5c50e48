/** 2025-01-01: a machine that says it is earlier does not know what time it is. */
export const NEVER_SET_S = 1_735_689_600
