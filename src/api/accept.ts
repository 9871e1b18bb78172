/** Whether the caller would rather have a page than JSON (RFC 9110, 12.5.1); whoever asks for neither gets JSON. */
export function prefersHtml(accept: string | undefined): boolean {
  if (accept === undefined) return false;
  const ranges = accept.split(',').map(readRange);
  const html = qualityOf('text/html', ranges);
  return html > 0 && html > qualityOf('application/json', ranges);
}

interface Range {
  readonly type: string;
  /** 0 to 1. */
  readonly quality: number;
}

function readRange(text: string): Range {
  const [type = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase());
  const given = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2);
  const quality = given === undefined ? 1 : Number(given);
  return { type, quality: quality >= 0 && quality <= 1 ? quality : 0 };
}

/** Of the most specific range that names it. */
function qualityOf(type: string, ranges: readonly Range[]): number {
  const family = `${type.split('/', 1)[0] ?? ''}/*`;
  for (const name of [type, family, '*/*']) {
    const found = ranges.filter((range) => range.type === name);
    if (found.length > 0) return Math.max(...found.map(({ quality }) => quality));
  }
  return 0;
}
