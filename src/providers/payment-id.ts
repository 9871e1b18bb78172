const ID_LENGTH_MAX = 128;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** The id in lower case where it is a UUID, as it is elsewhere; null where no path or query could carry it. */
export function canonicalId(id: string): string | null {
  if (!isPlainId(id)) return null;
  return UUID.test(id) ? id.toLowerCase() : id;
}

/** Lower case; null for all that is no UUID. */
export function canonicalUuid(id: string): string | null {
  return UUID.test(id) ? id.toLowerCase() : null;
}

/** Printable ASCII without blanks and without what has a meaning in a path, and not made of dots alone. */
function isPlainId(id: string): boolean {
  return id.length <= ID_LENGTH_MAX && /^[\x21-\x7e]+$/.test(id) && !/[/\\?#%]/.test(id) && !/^\.+$/.test(id);
}
