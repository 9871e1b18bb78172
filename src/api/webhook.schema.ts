import { z } from 'zod';

export const webhookAnswer = z.object({}).meta({ id: 'WebhookAnswer', examples: [{}] });
