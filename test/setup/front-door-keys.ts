import { prove, type ProofKeys, type ProvenAction } from '../../src/signing/proof.js';
import type { Envelope } from '../../workflows/messages.js';

const SECRET = Buffer.alloc(32, 5);

/** What front doors and workers share in all tests, as the setting of that name. */
export const FRONT_DOOR_KEYS = `test:${SECRET.toString('base64')}`;

/** The same, read. */
export const frontDoorKeys: ProofKeys = { keys: [{ id: 'test', secret: SECRET }] };

/** A message as the front door sends it. */
export function proven<Body extends object>(action: ProvenAction, body: Body): Envelope<Body> {
  return { body, proof: prove(frontDoorKeys, action, body) };
}
