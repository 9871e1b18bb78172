export { refund } from './refund.workflow.js';
export { paymentReconciliation, reconciliation } from './reconciliation.workflow.js';
