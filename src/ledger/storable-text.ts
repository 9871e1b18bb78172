/** PostgreSQL stores neither NUL nor half a surrogate pair, in text or in jsonb; JSON may carry both, escaped. */
const NOT_STORABLE = /\0|[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g;

/** A provider's words as the ledger can keep them: an answer that can't be stored would be lost with its money. */
export function storable<T>(said: T): T {
  return JSON.parse(JSON.stringify(said), (_key, value: unknown) =>
    typeof value === 'string' ? value.replace(NOT_STORABLE, '\uFFFD') : value,
  ) as T;
}
