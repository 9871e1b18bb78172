import { DateTime } from 'luxon';

/** Providers that leave the zone out mean this one. */
const PROVIDER_ZONE = 'America/Sao_Paulo';

const DATE_AND_TIME = /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}/;

/** Epoch milliseconds of a provider's date and time; null where there is none that can be read. */
export function parseInstant(text: string | null | undefined): number | null {
  if (!text || !DATE_AND_TIME.test(text)) return null;
  const instant = DateTime.fromISO(text.replace(' ', 'T'), { zone: PROVIDER_ZONE });
  return instant.isValid ? instant.toMillis() : null;
}

/** YYYY-MM-DD in the providers' zone. */
export function providerDate(instantMs: number): string {
  return DateTime.fromMillis(instantMs, { zone: PROVIDER_ZONE }).toFormat('yyyy-MM-dd');
}
