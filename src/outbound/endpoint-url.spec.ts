import { describe, expect, it } from '@jest/globals';
import type { Address } from './addresses.js';
import { problemOfUrl } from './endpoint-url.js';

const PUBLIC: Address = { address: '93.184.215.14', family: 4 };

function rules(found: readonly Address[] | Error = [PUBLIC], allowPrivate = false) {
  return {
    allowPrivate,
    resolve: async () => {
      if (found instanceof Error) throw found;
      return found;
    },
  };
}

/** Each in a form that some parser or other takes for it. */
const INSIDE = [
  ...[
    '127.0.0.1',
    '127.8.9.1',
    '10.1.2.3',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '0.0.0.0',
    '0.1.2.3',
  ],
  ...['169.254.169.254', '169.254.170.2', '100.64.0.1', '100.100.100.200', '192.0.0.192', '168.63.129.16'],
  ...['198.18.0.1', '192.0.2.1', '198.51.100.1', '203.0.113.9', '224.0.0.1', '240.0.0.1', '255.255.255.255'],
  // 127.0.0.1 and 169.254.169.254 as a number, in hexadecimal, in octal, with parts left out, in other digits.
  ...['2130706433', '0x7f000001', '017700000001', '0177.0.0.1', '127.1', '127.0.1', '0x7f.1', '0'],
  ...[
    '2852039166',
    '0xA9FEA9FE',
    '0251.0376.0251.0376',
    '①②⑦.⓪.⓪.①',
    '127.0.0.1.',
    '127。0。0。1',
    '%31%32%37.0.0.1',
  ],
  ...[
    '[::1]',
    '[::]',
    '[fe80::1]',
    '[fec0::1]',
    '[fc00::1]',
    '[fd00:ec2::254]',
    '[ff02::1]',
    '[2001:db8::1]',
  ],
  // Mapped, compatible, translated, NAT64 (also its local prefix), 6to4, Teredo.
  ...['[::ffff:127.0.0.1]', '[::ffff:a9fe:a9fe]', '[::127.0.0.1]', '[::ffff:0:7f00:1]', '[64:ff9b::7f00:1]'],
  ...['[64:ff9b::169.254.169.254]', '[64:ff9b:1::a00:1]', '[2002:7f00:1::]', '[2001::7f00:1]', '[5f00::1]'],
];

describe('the URL of a webhook endpoint', () => {
  it.each(INSIDE)('is refused where it names the address %s', async (host) => {
    expect(await problemOfUrl(`https://${host}/hook`, rules())).toBe('must not lead to a private address');
  });

  it.each(INSIDE.filter((host) => /^[\d.]+$|^\[.*\]$/.test(host) && host.length > 3 && !/^\d+$/.test(host)))(
    'is refused where its name leads to %s alone, or beside a public address',
    async (host) => {
      const address = host.replace(/^\[|\]$|\.$/g, '').replace(/^0177/, '127');
      const inside: Address = { address, family: address.includes(':') ? 6 : 4 };
      for (const found of [[inside], [PUBLIC, inside], [inside, PUBLIC]]) {
        const problem = await problemOfUrl('https://hooks.shop.example/in', rules(found));
        expect(problem).toBe('must not lead to a private address');
      }
    },
  );

  it.each(['https://8.8.8.8/', 'https://[2606:4700::1111]:8443/x?y=1', 'https://hooks.shop.example/in'])(
    'may be %s',
    async (url) => {
      expect(await problemOfUrl(url, rules())).toBeNull();
    },
  );

  it.each([
    ['http://hooks.shop.example/', 'must be an https URL'],
    ['ftp://hooks.shop.example/', 'must be an https URL'],
    ['file:///etc/passwd', 'must be an https URL'],
    ['https://user@hooks.shop.example/', 'must hold no credentials'],
    ['https://user:word@hooks.shop.example/', 'must hold no credentials'],
    ['https://hooks.shop.example/#part', 'must hold no fragment'],
    ['hooks.shop.example', 'must be a URL'],
    [`https://hooks.shop.example/${'x'.repeat(2_048)}`, 'must be at most 2048 characters'],
  ])('is not %s: it %s', async (url, problem) => {
    expect(await problemOfUrl(url, rules())).toBe(problem);
  });

  it('must have a name that leads somewhere', async () => {
    const problem = 'must have a host that can be resolved';
    expect(await problemOfUrl('https://nowhere.example/', rules(new Error('ENOTFOUND')))).toBe(problem);
  });

  it('may be http and private where that is allowed, and even then holds no credentials', async () => {
    const allowed = rules([{ address: '10.0.0.1', family: 4 }], true);
    expect(await problemOfUrl('http://10.0.0.1:8080/in', allowed)).toBeNull();
    expect(await problemOfUrl('http://shop.internal/in', allowed)).toBeNull();
    expect(await problemOfUrl('http://user:word@10.0.0.1/', allowed)).toBe('must hold no credentials');
    expect(await problemOfUrl('ftp://10.0.0.1/', allowed)).toBe('must be an https URL');
  });
});
