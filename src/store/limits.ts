/** As the port promises (src/store/ephemeral.ts). */
export const KEY_CHARACTERS_MAX = 256;
export const VALUE_BYTES_MAX = 64 * 1024;
