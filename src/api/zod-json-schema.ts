import { z } from 'zod';

type JsonSchema = Record<string, unknown>;

/** Named schemas become components; the rest stays where it is. */
export function jsonSchemaOf(
  schema: z.ZodType,
  io: 'input' | 'output',
): { readonly schema: JsonSchema; readonly components: Readonly<Record<string, JsonSchema>> } {
  const {
    $schema: _,
    $defs: components = {},
    ...rest
  } = z.toJSONSchema(schema, { io, target: 'draft-2020-12' });
  return { schema: rest, components };
}

/** Whether a request may leave it out. */
export function takesNothing(schema: z.ZodType): boolean {
  return schema.safeParse(undefined).success;
}
