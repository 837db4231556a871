import { describe, expect, test } from 'vitest';
import { type HtmlPart, html } from '../../src/kernel/html.ts';

describe('html', () => {
  test('escapes every value, in text and in attributes', () => {
    const evil = `<script>alert("1")</script>' onload='x' & more`;
    const page = html`<p title="${evil}">${evil}</p>`.toString();
    expect(page).not.toContain('<script>');
    expect(page).not.toMatch(/title="[^"]*"[^>]*onload/);
    expect(page).toContain('&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&#39; onload=&#39;x&#39; &amp; more');
  });

  test('keeps HTML that it made itself, joins lists and leaves nothing for null, undefined and false', () => {
    const items = ['a', '<b>'].map((item) => html`<li>${item}</li>`);
    expect(html`<ul>${items}${null}${undefined}${false}${0}</ul>`.toString()).toBe(
      '<ul><li>a</li><li>&lt;b&gt;</li>0</ul>',
    );
  });

  test('does not take an object that only looks like HTML', () => {
    const forged = { toString: () => '<script>1</script>' } as unknown as HtmlPart;
    expect(() => html`<p>${forged}</p>`).toThrow(TypeError);
  });

  test('refuses values in attributes without quotes', () => {
    expect(() => html`<p title=${'a onload=x'}>`).toThrow(/Quote the attribute/);
  });
});
