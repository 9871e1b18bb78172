import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { refundWindow, startOfDayMs, type WindowPolicy } from './window.js';

const SAO_PAULO = 'America/Sao_Paulo';
const policy = (timeZone = SAO_PAULO): WindowPolicy => ({
  pixDays: 90,
  pixWithdrawalMinutes: 60,
  timeZone,
  safetyMinutes: 10,
});
const deadline = (paidAt: string, timeZone?: string): string => {
  const window = refundWindow('pix', Date.parse(paidAt), policy(timeZone));
  return new Date(window?.deadlineMs ?? NaN).toISOString();
};

describe('the window of a Pix', () => {
  it.each([
    ['noon', '2026-01-10T12:00:00-03:00', '2026-04-11T03:00:00.000Z'],
    ['the first millisecond of a day', '2026-01-10T00:00:00.000-03:00', '2026-04-11T03:00:00.000Z'],
    ['the last millisecond of a day', '2026-01-10T23:59:59.999-03:00', '2026-04-11T03:00:00.000Z'],
    ['a millisecond later, another day', '2026-01-11T00:00:00.000-03:00', '2026-04-12T03:00:00.000Z'],
    ['another date in UTC than in the zone', '2026-01-11T02:59:59.999Z', '2026-04-11T03:00:00.000Z'],
    ['day 90 is a leap day, whole', '2027-12-01T10:00:00-03:00', '2028-03-01T03:00:00.000Z'],
    ['a leap day lies between', '2028-02-01T10:00:00-03:00', '2028-05-02T03:00:00.000Z'],
    ['no leap day in 2027', '2027-02-01T10:00:00-03:00', '2027-05-03T03:00:00.000Z'],
    ['paid on the leap day', '2028-02-29T23:59:59.999-03:00', '2028-05-30T03:00:00.000Z'],
    ['over the turn of a year', '2026-12-31T23:59:59.999-03:00', '2027-04-01T03:00:00.000Z'],
  ])('lasts to the end of day 90, counted by calendar days: %s', (_case, paidAt, expected) => {
    expect(deadline(paidAt)).toBe(expected);
  });

  it.each([
    ['before summer time, ending in it', SAO_PAULO, '2018-08-10T12:00:00-03:00', '2018-11-09T02:00:00.000Z'],
    ['in summer time, ending after it', SAO_PAULO, '2017-12-10T12:00:00-02:00', '2018-03-11T03:00:00.000Z'],
    // On 2018-11-04 São Paulo had no midnight: the day began at 01:00, which is 03:00 UTC.
    [
      'ending with a day after which none begins at midnight',
      SAO_PAULO,
      '2018-08-05T12:00:00-03:00',
      '2018-11-04T03:00:00.000Z',
    ],
    [
      'paid on the day without a midnight',
      SAO_PAULO,
      '2018-11-04T01:00:00-02:00',
      '2019-02-03T02:00:00.000Z',
    ],
    // The day before the clocks went back had 25 hours; its last hour came twice.
    ['ending with a day of 25 hours', SAO_PAULO, '2017-11-19T12:00:00-02:00', '2018-02-18T03:00:00.000Z'],
    [
      'paid in the second 23:30 of that day',
      SAO_PAULO,
      '2018-02-18T02:30:00.000Z',
      '2018-05-19T03:00:00.000Z',
    ],
    [
      'New York, into summer time',
      'America/New_York',
      '2026-01-10T12:00:00-05:00',
      '2026-04-11T04:00:00.000Z',
    ],
    ['New York, out of it', 'America/New_York', '2026-09-10T23:59:59.999-04:00', '2026-12-10T05:00:00.000Z'],
    [
      'Beirut, whose change day has no midnight',
      'Asia/Beirut',
      '2025-12-28T12:00:00+02:00',
      '2026-03-28T22:00:00.000Z',
    ],
  ])('moves with the clocks: %s', (_case, timeZone, paidAt, expected) => {
    expect(deadline(paidAt, timeZone)).toBe(expected);
  });

  it('always ends at the first instant of the day 91 days after the payment’s, in every zone', () => {
    const zone = fc.constantFrom(
      SAO_PAULO,
      'America/New_York',
      'Asia/Beirut',
      'Asia/Kolkata',
      'Pacific/Auckland',
      'UTC',
    );
    const paidAtMs = fc.integer({ min: Date.UTC(2015, 0, 1), max: Date.UTC(2040, 0, 1) });
    fc.assert(
      fc.property(zone, paidAtMs, (timeZone, paidMs) => {
        const { deadlineMs } = refundWindow('pix', paidMs, policy(timeZone)) ?? { deadlineMs: NaN };
        const dayAfterLast = dayNumber(paidMs, timeZone) + 91;
        expect(dayNumber(deadlineMs, timeZone)).toBe(dayAfterLast);
        expect(dayNumber(deadlineMs - 1, timeZone)).toBe(dayAfterLast - 1);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('the other windows', () => {
  it.each(['2018-11-03T23:30:00-03:00', '2026-01-10T23:59:59.999-03:00'])(
    'give a withdrawal 60 minutes from the instant of its payment, whatever the date: %s',
    (paidAt) => {
      const paidMs = Date.parse(paidAt);
      expect(refundWindow('pix_withdrawal', paidMs, policy())).toEqual({
        deadlineMs: paidMs + 3_600_000,
        submitBeforeMs: paidMs + 3_000_000,
      });
    },
  );

  it.each(['wallet', 'card'] as const)('give %s none', (method) => {
    expect(refundWindow(method, Date.parse('2020-01-01T00:00:00Z'), policy())).toBeNull();
  });

  it.each(['pix', 'pix_withdrawal'] as const)(
    'stop sending the safety minutes before the deadline of %s',
    (method) => {
      for (const safetyMinutes of [0, 10, 45]) {
        const window = refundWindow(method, Date.parse('2026-01-10T12:00:00Z'), {
          ...policy(),
          safetyMinutes,
        });
        expect((window?.deadlineMs ?? NaN) - (window?.submitBeforeMs ?? NaN)).toBe(safetyMinutes * 60_000);
      }
    },
  );
});

describe('the start of a day', () => {
  const startOf = (now: string, timeZone: string): string =>
    new Date(startOfDayMs(Date.parse(now), timeZone)).toISOString();

  it.each([
    ['noon', SAO_PAULO, '2026-01-10T12:00:00-03:00', '2026-01-10T03:00:00.000Z'],
    ['its first instant', SAO_PAULO, '2026-01-10T00:00:00.000-03:00', '2026-01-10T03:00:00.000Z'],
    ['its last instant', SAO_PAULO, '2026-01-10T23:59:59.999-03:00', '2026-01-10T03:00:00.000Z'],
    ['another date in UTC', SAO_PAULO, '2026-01-11T02:59:59.999Z', '2026-01-10T03:00:00.000Z'],
    ['a zone ahead of UTC', 'Asia/Tokyo', '2026-01-10T15:00:00.000Z', '2026-01-10T15:00:00.000Z'],
    ['a day without a midnight', SAO_PAULO, '2018-11-04T12:00:00-02:00', '2018-11-04T03:00:00.000Z'],
    ['the second 23:30 of a day', SAO_PAULO, '2018-02-18T02:30:00.000Z', '2018-02-17T02:00:00.000Z'],
    // On 2026-11-01 Havana goes back from 01:00 to 00:00: its day begins at 04:00 UTC, and has a second midnight.
    ['the first half past midnight', 'America/Havana', '2026-11-01T04:30:00Z', '2026-11-01T04:00:00.000Z'],
    ['the second half past midnight', 'America/Havana', '2026-11-01T05:30:00Z', '2026-11-01T04:00:00.000Z'],
    ['the noon after two midnights', 'America/Havana', '2026-11-01T17:00:00Z', '2026-11-01T04:00:00.000Z'],
  ])('is its first instant in the zone: %s', (_case, timeZone, now, expected) => {
    expect(startOf(now, timeZone)).toBe(expected);
  });

  it('has the date of now, and the instant before it another one, in every zone', () => {
    const zone = fc.constantFrom(SAO_PAULO, 'America/Havana', 'Asia/Beirut', 'Pacific/Chatham', 'UTC');
    const anyNowMs = fc.integer({ min: Date.UTC(2015, 0, 1), max: Date.UTC(2040, 0, 1) });
    fc.assert(
      fc.property(zone, anyNowMs, (timeZone, nowMs) => {
        const startMs = startOfDayMs(nowMs, timeZone);
        expect(startMs).toBeLessThanOrEqual(nowMs);
        expect(dayNumber(startMs, timeZone)).toBe(dayNumber(nowMs, timeZone));
        expect(dayNumber(startMs - 1, timeZone)).toBe(dayNumber(nowMs, timeZone) - 1);
      }),
      { numRuns: 1_000 },
    );
  });
});

/** The local calendar date as a running number of days: what the platform's own calendar says, not the code's. */
function dayNumber(ms: number, timeZone: string): number {
  const options = { timeZone, year: 'numeric', month: '2-digit', day: '2-digit' } as const;
  return Date.parse(`${dateFormat(timeZone, options).format(ms)}T00:00:00Z`) / 86_400_000;
}

const formats = new Map<string, Intl.DateTimeFormat>();
function dateFormat(timeZone: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const format = formats.get(timeZone) ?? new Intl.DateTimeFormat('en-CA', options);
  formats.set(timeZone, format);
  return format;
}
