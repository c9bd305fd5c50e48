/** SQLite opened the way a program that acknowledges after commit must open it. */
export { openDatabase } from './open.ts'
export { lockDatabase } from './lock.ts'
export type { Database, SqlValue, Statement } from './database.ts'
export { startCheckpoints } from './checkpoints.ts'
export { backupDatabase, type BackupReport } from './backup.ts'
export { restoreDatabase } from './restore.ts'
export { readMark, writeMark, type BackupMark } from './mark.ts'
