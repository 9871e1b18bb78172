/** The bench's programs read the environment here alone. @throws Error naming what is missing. */
export function setting(name: string, preset?: string): string {
  const value = process.env[name] ?? preset;
  if (value === undefined) throw new Error(`${name} is missing`);
  return value;
}
