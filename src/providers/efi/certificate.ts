import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { TlsIdentity } from '../http.js';

/**
 * The client certificate that Efí wants on every call: .p12 or .pfx, or a .pem that holds certificate and key.
 * @throws Error whose message names what is wrong and repeats neither passphrase nor content.
 */
export function readCertificate(file: string, passphrase: string | undefined): TlsIdentity {
  const content = contentOf(file);
  const withPassphrase = passphrase === undefined ? {} : { passphrase };
  const identity = /\.(p12|pfx)$/i.test(file)
    ? { pfx: content, ...withPassphrase }
    : { cert: content, key: content, ...withPassphrase };
  try {
    createSecureContext(identity);
  } catch {
    throw new Error(
      'holds no client certificate and key that can be opened (is EFI_CERTIFICATE_PASSPHRASE right? a .p12 in the legacy format must be converted first)',
    );
  }
  return identity;
}

function contentOf(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch {
    throw new Error('cannot be read');
  }
}
