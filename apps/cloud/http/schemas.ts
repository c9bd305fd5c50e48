import { gapKinds } from '#messages'

/**
 * JSON schemas of requests and answers: Fastify validates and serialises by them, and they are the
 * OpenAPI document. The `$id` is the name of the component there.
 */
const integer = { type: 'integer' } as const
const count = { type: 'integer', minimum: 0 } as const
const text = { type: 'string' } as const
const number = { type: 'number' } as const
const name = { type: 'string', pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$' } as const
const moment = { type: 'string', format: 'date-time' } as const
const orNull = <T extends { type: string }>(schema: T) =>
  ({ ...schema, type: [schema.type, 'null'] }) as const
const names = { type: 'array', items: { type: 'string' } } as const

/** An object whose every property is there. */
function object($id: string, description: string, properties: Record<string, object>) {
  const required = Object.keys(properties)
  return { $id, type: 'object', description, properties, required, additionalProperties: false }
}

/** Properties that may be absent. */
function withOptional<T extends { properties: object }>(schema: T, optional: object): T {
  return { ...schema, properties: { ...schema.properties, ...optional } }
}

const ErrorBody = object('Error', 'Every answer that is not a success.', {
  code: { type: 'string', description: 'Stable, for programs.' },
  message: { type: 'string', description: 'For people: what happened and what to do.' },
})

const Summary = object(
  'Summary',
  'One revision of one window of one fog node: readings stamped after start, up to and including end.',
  {
    id: { ...integer, description: 'Grows with every stored revision: the cursor of the stream.' },
    fog: name,
    start: moment,
    end: moment,
    startS: count,
    endS: count,
    revision: count,
    meters: { ...count, description: 'Distinct meters.' },
    readings: count,
    powerMinW: integer,
    powerMeanW: number,
    powerMaxW: integer,
    powerSumW: { ...integer, description: 'Exact; the mean is this divided by readings.' },
    voltageMinV: orNull(number),
    voltageMeanV: orNull(number),
    voltageMaxV: orNull(number),
    voltageSumDv: { ...count, description: 'In tenths of a volt, over voltageCount readings.' },
    voltageCount: count,
    importWh: count,
    exportWh: count,
    synchronised: { ...count, description: 'Readings with a trusted time.' },
    estimated: { ...count, description: 'Readings with an estimated time.' },
    unknownTime: { ...count, description: 'Readings stamped without a trusted clock.' },
    substitute: { ...count, description: 'Readings that stand in for a measurement.' },
    received: moment,
  },
)

const refusedByReason = {
  type: 'object',
  additionalProperties: count,
  description:
    'What was not accepted from meters, by reason, since the start of the fog node. After early, ' +
    'incomplete, no-base, no-session, overload, undecided and verifier-failed the meter is asked again.',
} as const

const Machine = object('Machine', 'What a fog node’s machine tells; null where it does not.', {
  clockSet: { type: 'boolean', description: 'Whether its clock was set since it started.' },
  uptimeS: count,
  temperatureDc: { ...orNull(integer), description: 'Of the processor, in 0.1 °C.' },
  throttled: { ...orNull(integer), description: 'Bits of the Pi’s firmware: get_throttled.' },
  writtenBytes: { ...orNull(integer), description: 'To the disk of the store, since the start.' },
  diskBytes: orNull(integer),
})

const FogStatus = withOptional(
  object('FogStatus', 'What a fog node last said about itself.', {
    timeS: count,
    uptimeS: count,
    metersKnown: count,
    metersOnline: count,
    readings: count,
    blocks: count,
    refused: refusedByReason,
    outbox: count,
    storeBytes: count,
    version: text,
  }),
  { machine: { $ref: 'Machine#' } },
)

const Fog = object('Fog', 'A fog node as the cloud knows it.', {
  fog: name,
  firstSeen: moment,
  lastSeen: moment,
  newestEnd: orNull(moment),
  lagSeconds: { ...orNull(integer), description: 'Now minus the end of its newest window.' },
  backlog: { ...count, description: 'Outbox entries known of and not yet here.' },
  summaries: { ...count, description: 'Windows, each counted once.' },
  readings: count,
  metersInNewest: count,
  meters: count,
  importWh: count,
  exportWh: count,
  refused: { ...count, description: 'Its outbox items that the cloud refused.' },
  status: { anyOf: [{ $ref: 'FogStatus#' }, { type: 'null' }] },
})

const Meter = object('Meter', 'A meter with its newest signed register.', {
  meter: name,
  fog: name,
  number: { ...orNull(integer), description: 'Reading number of the register.' },
  importWh: orNull(integer),
  exportWh: orNull(integer),
  time: orNull(moment),
  timeQuality: {
    type: ['string', 'null'],
    enum: ['synchronised', 'estimated', 'unknown', null],
    description: 'How far the meter trusts that time.',
  },
  flags: names,
  registerId: orNull(integer),
  firstSeen: moment,
  lastSeen: moment,
})

const Register = object('Register', 'A meter’s own signed statement about its registers.', {
  id: integer,
  meter: name,
  fog: name,
  first: count,
  last: count,
  start: moment,
  end: moment,
  startImportWh: count,
  startExportWh: count,
  endImportWh: count,
  endExportWh: count,
  status: names,
  flags: names,
  received: moment,
  cose: { type: 'string', description: 'COSE_Sign1 with payload (RFC 9052), base64url.' },
  credential: {
    type: 'string',
    description: 'The meter’s credential, a CWT signed by the authority (RFC 8392), base64url.',
  },
})

const Event = object('Event', 'Something an operator may want to know.', {
  id: integer,
  source: { type: 'string', enum: ['fog', 'cloud'] },
  fog: name,
  code: text,
  time: moment,
  device: orNull(name),
  detail: text,
  received: moment,
})

const Gap = object(
  'Gap',
  'A range of a meter’s readings about which something is not as it should be.',
  {
    id: integer,
    meter: name,
    fog: name,
    kind: { type: 'string', enum: gapKinds },
    first: { ...count, description: 'Reading numbers; of a silence those around it.' },
    last: count,
    start: orNull(moment),
    end: orNull(moment),
    seconds: orNull(integer),
    readings: { ...count, description: 'Readings concerned; 0 for a hole.' },
    importWh: { ...orNull(integer), description: 'Energy across it, from the registers.' },
    exportWh: orNull(integer),
    counted: {
      type: 'boolean',
      description: 'Whether that energy is in some window of this fog node.',
    },
    alsoAt: { ...names, description: 'Other fog nodes that brought a register out of the range.' },
    received: moment,
  },
)

const Status = object('Status', 'Everything in one glance.', {
  fogs: count,
  meters: count,
  summaries: count,
  readings: count,
  importWh: count,
  exportWh: count,
  registers: count,
  flagged: count,
  events: count,
  refused: { ...count, description: 'Outbox items of fog nodes that the cloud refused.' },
  refusedByFogs: refusedByReason,
  backlog: count,
  doubled: { ...count, description: 'Readings two fog nodes count until one has let go of them.' },
  newestEnd: orNull(moment),
  lagSeconds: orNull(integer),
})

const PrototypeFog = object('PrototypeFog', 'A fog node’s newest window.', {
  fog_id: name,
  num_meters: count,
  avg_power: { ...orNull(number), description: 'kW' },
  avg_voltage: { ...orNull(number), description: 'V' },
})

const PrototypeSummary = object('PrototypeSummary', 'The prototype’s answer: kW and V.', {
  total_packets: { ...count, description: 'Summaries that count.' },
  avg_power_overall: orNull(number),
  avg_voltage_overall: orNull(number),
  latest_data: { type: 'array', items: { $ref: 'PrototypeFog#' } },
})

const Health = object('Health', 'Whether the service can do its work.', {
  status: { type: 'string', enum: ['ok', 'failing'] },
  detail: text,
})

const EnrolmentAnswer = withOptional(
  object('EnrolmentAnswer', 'What a new fog node hears.', {
    status: { type: 'string', enum: ['enrolled', 'waiting'] },
  }),
  {
    credential: { type: 'string', description: 'Its credential, base64url.' },
    for: { type: 'string', enum: ['approval', 'signature'], description: 'What it waits for.' },
  },
)

const Approval = object('Approval', 'An approval that was taken.', {
  name,
  expires: moment,
  cloud: { ...name, description: 'The cloud service that took it.' },
})

const Enrolment = object('Enrolment', 'A key with an approved name.', {
  name,
  code: { type: 'string', description: 'Eight words of the key.' },
  publicKey: text,
  replace: { type: 'boolean', description: 'Earlier credentials of the name are revoked by it.' },
  accepted: moment,
  signed: { type: 'boolean', description: 'Whether the authority has signed it.' },
})

const Enrolments = object('Enrolments', 'Fog nodes that asked.', {
  items: { type: 'array', items: { $ref: 'Enrolment#' } },
  waiting: {
    type: 'array',
    description: 'Keys nobody approved yet; not kept over a restart, for they ask again.',
    items: {
      type: 'object',
      properties: { code: text, name: orNull(name), origin: text, publicKey: text, last: moment },
    },
  },
  refused: {
    type: 'array',
    description: 'Refused requests, newest first; since the start of the service.',
    items: {
      type: 'object',
      properties: { reason: text, name: orNull(text), key: text, origin: text, time: moment },
    },
  },
})

/** All components, for `app.addSchema`. */
export const components = [
  ErrorBody,
  Summary,
  Machine,
  FogStatus,
  Fog,
  Meter,
  Register,
  Event,
  Gap,
  Status,
  PrototypeFog,
  PrototypeSummary,
  Health,
  EnrolmentAnswer,
  Approval,
  Enrolment,
  Enrolments,
]

export function pageSchema(item: string): object {
  return {
    type: 'object',
    properties: {
      items: { type: 'array', items: { $ref: `${item}#` } },
      next: { ...orNull(text), description: 'Cursor of the next page; null on the last.' },
    },
    required: ['items', 'next'],
    additionalProperties: false,
  }
}

const when = {
  type: 'string',
  maxLength: 40,
  description: '30m, 1h, 7d (before now), ISO 8601, or seconds since 1970.',
} as const

/** Parameters that lists share; each route takes those it names. */
export const parameters = {
  fog: name,
  meter: name,
  since: when,
  until: when,
  code: { type: 'string', maxLength: 64 },
  kind: { type: 'string', enum: gapKinds },
  flagged: { type: 'boolean', description: 'Only registers with a flag.' },
  after: { ...count, description: 'Only revisions stored after this id.' },
  limit: { type: 'integer', minimum: 1, maximum: 1000, default: 100 },
  cursor: { type: 'string', maxLength: 40, description: '`next` of the page before.' },
} as const

/** An unknown parameter is an error: a misspelt filter must not silently show everything. */
export function querySchema(...wanted: (keyof typeof parameters)[]): object {
  const properties = Object.fromEntries(wanted.map((key) => [key, parameters[key]]))
  return { type: 'object', properties, additionalProperties: false }
}
