import { createHash } from 'node:crypto';
import { CONCLUSION_WORDS, EVENT_WORDS, STATUS_WORDS, VERIFICATION_WORDS } from './evidence.words.js';
import type { Evidence } from './evidence.schema.js';
import { Html, html } from './html.js';

/** One refund on paper: for whoever has to understand it long after, without the service at hand. */
export function evidencePage(evidence: Evidence): string {
  const { refund } = evidence;
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width" />
        <title>Refund ${refund.id}</title>
        ${STYLE_ELEMENT}
      </head>
      <body>
        <h1>Refund ${refund.id}</h1>
        <p>
          <strong>${money(refund.amount, refund.currency)}, ${refund.status}.</strong>
          ${STATUS_WORDS[refund.status]}
        </p>
        <p class="note">
          Printed from the ledger as it stood at ${evidence.generated_at}. All times are UTC. Times, amounts,
          persons and words of the provider are as they were recorded then.
        </p>
        ${section('Is this record whole?', verificationOf(evidence))}
        ${section('The refund', refundOf(evidence))} ${section('The payment', paymentOf(evidence))}
        ${section('What happened', storyOf(evidence.events))} ${section('Who agreed', votesOf(evidence))}
        ${section('What was sent to the provider', attemptsOf(evidence))}
        ${section("The payment's own events", storyOf(evidence.payment_events))}
        ${section('The rules it was admitted under', policyOf(evidence))}
        ${section('The trail in full', trailOf([...evidence.events, ...evidence.payment_events]))}
      </body>
    </html>`;
  return `${page.text}\n`;
}

const STYLE = `
body { font: 11pt/1.45 system-ui, sans-serif; color: #111; max-width: 54rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 1.6rem 0 .4rem; border-bottom: 1px solid #999; }
h3 { font-size: 1rem; margin: 1rem 0 .2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .2rem .6rem .2rem 0; border-bottom: 1px solid #ddd; overflow-wrap: anywhere; }
th { font-weight: 600; width: 12rem; }
pre { font: 9pt/1.35 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; margin: .2rem 0; }
.note { color: #444; }
.alarm { border: 2px solid #a00; padding: .4rem .6rem; }
@media print { body { margin: 0; max-width: none; } h2, h3 { break-after: avoid; } tr { break-inside: avoid; } }
`;

/** Written out at once: the policy below names the hash of exactly this. */
const STYLE_ELEMENT = new Html(`<style>${STYLE}</style>`);

/** Nothing is loaded and nothing runs: the one style is known by its hash. */
export const EVIDENCE_PAGE_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

function section(title: string, content: Html): Html {
  return html`<h2>${title}</h2>
    ${content}`;
}

function verificationOf({ verification }: Evidence): Html {
  const { result, breaks, events, covered } = verification;
  const unknown = Object.entries(verification.unknown_keys);
  return html`<p class="${result === 'broken' ? 'alarm' : 'note'}">${VERIFICATION_WORDS[result]}</p>
    <ul>
      <li>${covered} of ${events} events are covered by a MAC that was checked.</li>
      ${verification.without_mac > 0 ? html`<li>${verification.without_mac} were written without any key: not covered.</li>` : null}
      ${verification.unchecked > 0 ? html`<li>${verification.unchecked} have a MAC that could not be checked, as no key was given: not covered.</li>` : null}
      ${unknown.map(([key, count]) => html`<li>${count} by the key ${key}, which is gone: not covered.</li>`)}
      ${breaks.map(({ trail, id, sequence, what }) => html`<li><strong>${trail} ${id}${sequence === null ? '' : `, event ${sequence}`}: ${what}</strong></li>`)}
    </ul>`;
}

function refundOf({ refund, requested_by: requestedBy, request_id: requestId, policy }: Evidence): Html {
  return facts([
    ['Amount', money(refund.amount, refund.currency)],
    ['Status', refund.status],
    ['Why it waits', refund.pending_reason],
    ['Why it failed', refund.failure_reason],
    [
      "The provider's error",
      refund.provider_error && `${refund.provider_error.code}: ${refund.provider_error.message}`,
    ],
    ['Asked for by', requestedBy],
    ['Request', requestId],
    ['Reason', refund.reason],
    ['Description', refund.description],
    ['Reference', refund.reference],
    ...labels(refund.metadata),
    ['Provider', refund.provider],
    ["The provider's id of it", refund.provider_refund_id],
    ['Last day to refund', refund.refund_deadline],
    [
      'What the outcome rests on',
      refund.evidence &&
        `${refund.evidence.source}, ${refund.evidence.observed_at}: ${refund.evidence.provider_status}`,
    ],
    ['Policy', policy.version],
    ['Process', refund.workflow_id],
    ['Version', String(refund.version)],
    ['Created', refund.created_at],
    ['Last changed', refund.updated_at],
  ]);
}

function paymentOf({ payment }: Evidence): Html {
  return facts([
    ['Payment', payment.id],
    ['Provider', payment.provider],
    ["The provider's id of it", payment.provider_payment_id],
    ["The provider's reference", payment.provider_payment_reference],
    ['Amount', money(payment.amount, payment.currency)],
    ['Method', payment.method],
    ['Paid', payment.paid_at],
    ['Refunded through this service', money(payment.amount_refunded, payment.currency)],
    ['Held for refunds under way', money(payment.amount_reserved, payment.currency)],
    ['Refunded without this service', money(payment.amount_external, payment.currency)],
    ['Reference', payment.reference],
    ...labels(payment.metadata),
    ['Registered', payment.created_at],
  ]);
}

function storyOf(events: Evidence['events']): Html {
  if (events.length === 0) return html`<p>Nothing is recorded.</p>`;
  const rows = events.map(
    (event) =>
      html`<tr>
        <td>${event.sequence}</td>
        <td>${event.occurred_at}</td>
        <td>${event.actor}</td>
        <td>${EVENT_WORDS[event.type] ?? event.type}${event.reason === null ? '' : ` (${event.reason})`}</td>
      </tr>`,
  );
  return html`<table>
    <thead>
      <tr>
        <td>No.</td>
        <td>When</td>
        <td>Who</td>
        <td>What</td>
      </tr>
    </thead>
    <tbody>
      ${rows}
    </tbody>
  </table>`;
}

function votesOf({ refund, votes, messages }: Evidence): Html {
  const needed = refund.approval
    ? html`<p>${refund.approval.required} must agree; the round is ${refund.approval.state}.</p>`
    : html`<p>Nobody had to agree.</p>`;
  const cast = votes.map(
    (vote) =>
      html`<h3>${vote.actor}: ${vote.decision}</h3>
        ${facts([
          ['When', vote.created_at],
          ['Round', String(vote.round)],
          ['Comment', vote.comment],
          ['What was voted on', vote.content_hash],
          ["The front door's proof", vote.proof],
          ['Request', vote.request_id],
        ])}`,
  );
  const others = messages
    .filter(({ action }) => action !== 'approve' && action !== 'reject')
    .map(
      (message) =>
        html`<h3>${message.actor}: ${message.action}</h3>
          ${facts([
            ['When', message.received_at],
            ["The front door's proof", message.proof],
          ])}
          ${json(message.outcome)}`,
    );
  return html`${needed}${cast}${others}`;
}

function attemptsOf({ refund, attempts }: Evidence): Html {
  if (attempts.length === 0) return html`<p>Nothing was sent.</p>`;
  return html`${attempts.map(
    (attempt) =>
      html`<h3>Attempt ${attempt.number}</h3>
        ${facts([
          ['What became of it', CONCLUSION_WORDS[attempt.conclusion ?? 'open']],
          ['Concluded', attempt.concluded_at],
          ['Amount', money(attempt.amount, refund.currency)],
          ['Decided to send', attempt.claimed_at],
          ['Last sent', attempt.last_sent_at],
          ['Times sent', String(attempt.sends)],
          ['Idempotency key', attempt.idempotency_key],
          ["The provider's id of it", attempt.provider_refund_id],
          ['Recognised by', attempt.matched_by],
          ['Reads in which it was absent', attempt.absent_reads.join(', ') || null],
        ])}
        <p>What the provider showed right before:</p>
        ${json(attempt.shown_before)}
        <p>What it answered:</p>
        ${json(attempt.answer)}
        ${
          attempt.evidence
            ? html`<p>What the conclusion rests on:</p>
                ${json(attempt.evidence)}`
            : null
        }
        ${
          attempt.doubts.length > 0
            ? html`<p>What speaks against it:</p>
                ${json(attempt.doubts)}`
            : null
        }`,
  )}`;
}

function policyOf({ policy }: Evidence): Html {
  if (!policy.content) return html`<p>Version ${policy.version}; its content was not kept.</p>`;
  return html`<p>Version ${policy.version}</p>
    ${json(policy.content)}`;
}

function trailOf(events: Evidence['events']): Html {
  return html`<p class="note">
      Each event holds the hash of the one before it; a MAC can be made by holders of the audit keys alone.
    </p>
    ${events.map(
      (event) =>
        html`<h3>
            ${event.refund_id === null ? 'Payment' : 'Refund'}, event ${event.sequence}: ${event.type}
          </h3>
          ${json(event)}`,
    )}`;
}

/** What is not known is left out. */
function facts(rows: readonly (readonly [name: string, value: string | null])[]): Html {
  const known = rows.filter(([, value]) => value !== null);
  return html`<table>
    ${known.map(
      ([name, value]) =>
        html`<tr>
          <th scope="row">${name}</th>
          <td>${value}</td>
        </tr>`,
    )}
  </table>`;
}

function labels(metadata: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(metadata).map(([name, value]) => [`Metadata: ${name}`, value]);
}

function json(value: unknown): Html {
  return html`<pre>${JSON.stringify(value ?? null, null, 2)}</pre>`;
}

/** Two decimals: no currency with another number of them is taken. */
function money(amountMinor: number, currency: string): string {
  const sign = amountMinor < 0 ? '-' : '';
  const digits = String(Math.abs(amountMinor)).padStart(3, '0');
  return `${currency} ${sign}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}
