/** Configuration files: TOML, checked completely before a program starts. */
export { configProblem, loadConfig, parseConfig } from './load.ts'
export {
  agentConfig,
  brokerConfig,
  cloudConfig,
  meterConfig,
  nodeConfig,
  type AgentConfig,
  type BrokerConfig,
  type CloudConfig,
  type MeterConfig,
  type NodeConfig,
} from './schemas.ts'
export { expandMeters, type MeterInstance } from './fleet.ts'
export { flag, integer, oneOf, path, tcpAddress, text, type SerialLine } from './leaf.ts'
export { sourceFrom, type ModbusSource, type PortSource, type WiredSource } from './source.ts'
export { allKeys, type TableSchema } from './schema-tree.ts'
