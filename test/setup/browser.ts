import { existsSync } from 'node:fs';
import { describe } from '@jest/globals';
import { chromium, type Browser } from 'playwright-core';

const CHROMIUM = process.env['CHROMIUM'] || '/usr/bin/chromium';
/** Where it must run, a missing browser is a failure. */
const IS_REQUIRED = process.env['BROWSER_TESTS'] === 'required';

/** Tests that need a browser: where there is none they are skipped, and the title says so. */
export function describeInBrowser(title: string, tests: () => void): void {
  if (existsSync(CHROMIUM) || IS_REQUIRED) describe(title, tests);
  else describe.skip(`${title} (skipped: no Chromium at ${CHROMIUM})`, tests);
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
