export async function documentOf(table: string): Promise<string> {
  return `# Benchmarks\n\n${table}\n`;
}
