import { startPostgres } from '../../src/embedded/postgres.js';
import { claimProcessRecord } from '../../src/embedded/process-record.js';
import { startTemporal } from '../../src/embedded/temporal.js';

/** Starts one part, says so on a line, and never stops it: the tests kill this process. */
async function own(part: string, place: string): Promise<string> {
  const log = () => undefined;
  switch (part) {
    case 'postgres':
      return (await startPostgres({ dataDir: place, durable: true, log })).url;
    case 'temporal':
      return (await startTemporal({ dataDir: place, searchAttributes: {}, log, port: 0, uiPort: null }))
        .address;
    case 'claim':
      return String(claimProcessRecord(place));
    default:
      throw new Error(`no part ${part}`);
  }
}

const [part = '', place = ''] = process.argv.slice(2);
console.log(await own(part, place));
setInterval(() => undefined, 60_000);
