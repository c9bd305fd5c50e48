/** How a meter finds its fog node on the local network: DNS-SD over multicast DNS. README.md. */
export { announceFog, type Announcement } from './announce.ts'
export { findFogs, type FoundFog } from './find.ts'
