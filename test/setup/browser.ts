import { describe } from '@jest/globals';
import { chromium, type Browser } from 'playwright-core';

const CHROMIUM = process.env['CHROMIUM'] || '/usr/bin/chromium';

/** Only where somebody asks for it, as CI does; a browser that is missing then is a failure. */
export function describeInBrowser(title: string, tests: () => void): void {
  if (process.env['BROWSER_TESTS'] === 'required') describe(title, tests);
  else describe.skip(`${title} (with BROWSER_TESTS=required alone)`, tests);
}

/** A new one, that looks for nothing on the network. */
export function openBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [
      ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
      ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
    ],
  });
}
