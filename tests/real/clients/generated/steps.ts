// What both programs in TypeScript begin and end with; see ../generate.py.

/** The variables that say what to call. */
export const env = process.env as Record<string, string>;

const results: Record<string, string | null> = {};

/** Note what a step has to say. */
export async function step(name: string, check: () => Promise<boolean>): Promise<void> {
  results[name] = await check().then(
    (good) => (good ? null : "unexpected answer"),
    (error) => String(error),
  );
}

/** Print what all steps had to say. */
export function report(): void {
  console.log(JSON.stringify(results));
}
