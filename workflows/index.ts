export { refund } from './refund.workflow.js';
