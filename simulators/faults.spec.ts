import { describe, expect, it } from '@jest/globals';
import { Faults, faultSchema, isFate, whyNot, type FateFault, type WireFault } from './faults.js';

describe('faults', () => {
  it('strike in the order injected, each as often as it says, only at their provider and operation', () => {
    const faults = new Faults();
    faults.add('efi', wire({ operation: 'submit', name: 'reset_before_effect', times: 2 }));
    faults.add('efi', wire({ operation: 'submit', name: 'cut_body' }));
    expect(faults.takeWire('pagou', 'submit')).toBeNull();
    expect(faults.takeWire('efi', 'read')).toBeNull();
    const struck = [1, 2, 3, 4].map(() => faults.takeWire('efi', 'submit')?.name);
    expect(struck).toEqual(['reset_before_effect', 'reset_before_effect', 'cut_body', undefined]);
  });

  it('shape one refund with the first of each fate, and leave the request itself alone', () => {
    const faults = new Faults();
    faults.add('efi', fate({ operation: 'submit', name: 'reject_later', times: 2 }));
    faults.add('efi', fate({ operation: 'submit', name: 'confirm_delay', ms: 9 }));
    expect(faults.takeWire('efi', 'submit')).toBeNull();
    expect(faults.takeFate('efi').map(({ name }) => name)).toEqual(['reject_later', 'confirm_delay']);
    expect(faults.takeFate('efi').map(({ name }) => name)).toEqual(['reject_later']);
    expect(faults.takeFate('efi')).toEqual([]);
  });

  it('are forgotten for one provider or for all', () => {
    const faults = new Faults();
    faults.add('efi', wire({ operation: 'read', name: 'stale_read' }));
    faults.add('pagou', wire({ operation: 'read', name: 'stale_read' }));
    faults.clear('efi');
    expect(faults.takeWire('efi', 'read')).toBeNull();
    faults.clear();
    expect(faults.takeWire('pagou', 'read')).toBeNull();
  });

  it('know where a document leaves no room for them', () => {
    expect(whyNot('braspag', { operation: 'submit', name: 'unclear' })).toBeNull();
    expect(whyNot('efi', { operation: 'submit', name: 'unclear' })).not.toBeNull();
    expect(whyNot('pagou', { operation: 'token', name: 'html' })).not.toBeNull();
    expect(whyNot('efi', { operation: 'submit', name: 'stale_read' })).not.toBeNull();
  });
});

function wire(wanted: unknown): WireFault {
  const fault = faultSchema.parse(wanted);
  if (isFate(fault) || fault.name === 'down') throw new Error('not a wire fault');
  return fault;
}

function fate(wanted: unknown): FateFault {
  const fault = faultSchema.parse(wanted);
  if (!isFate(fault)) throw new Error('not a fate');
  return fault;
}
