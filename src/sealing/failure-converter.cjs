// Loaded by its path: by the SDK's own `require`, and into the workflow bundle. So it is CommonJS, and no TypeScript.
'use strict';

const { DefaultFailureConverter } = require('@temporalio/common');

/** Puts message and stack into a payload, which the codec seals like any other. */
module.exports = { failureConverter: new DefaultFailureConverter({ encodeCommonAttributes: true }) };
