/** An approval that nobody used ends after this. */
export const APPROVAL_S = 86_400
/** Most bytes of a request; one with a token and the longest name has fewer than 400. */
export const LARGEST_REQUEST = 512
/** Most keys remembered that nobody approved yet, and most refusals; both only in memory. */
export const MOST_WAITING = 64
export const MOST_REFUSALS = 64
