export { delivery } from './delivery.workflow.js';
export { refund } from './refund.workflow.js';
export { paymentReconciliation, reconciliation } from './reconciliation.workflow.js';
