import { cp } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

// The compiler emits only TypeScript; the console's style sheet and scripts go along as they are.
const at = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));
await cp(at('src/console/assets'), at('dist/console/assets'), { recursive: true });
