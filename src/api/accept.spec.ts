import { describe, expect, it } from '@jest/globals';
import { prefersHtml } from './accept.js';

describe('what a caller would rather have', () => {
  it.each<[boolean, string | undefined]>([
    [false, undefined],
    [false, ''],
    [false, '*/*'],
    [false, 'application/json'],
    [true, 'text/html'],
    [true, 'TEXT/HTML; charset=utf-8'],
    [true, 'text/*'],
    [true, 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'],
    [false, 'text/html, application/json'],
    [false, 'text/html;q=0.5, application/json'],
    [true, 'text/html;q=0.5, application/json;q=0.4'],
    [true, 'text/html;level=1;q=0.9, */*;q=0.1'],
    [false, 'text/html;q=0, */*'],
    [false, 'text/html;q=9'],
    [false, 'text/html;q=x'],
    [false, 'image/png'],
  ])('a page: %s, for Accept: %s', (html, accept) => {
    expect(prefersHtml(accept)).toBe(html);
  });
});
