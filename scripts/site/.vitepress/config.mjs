/** What VitePress is told: the staged pages in their order. `scripts/site.mjs` has made them, and says which there are. */

import { readFileSync } from "node:fs";
import { defineConfig } from "vitepress";

const { sidebar, version } = JSON.parse(readFileSync(new URL("../.stage/pages.json", import.meta.url), "utf8"));

export default defineConfig({
  title: "Sluice",
  description: "A Kafka producer for Node, Deno, Bun and Cloudflare Workers",
  srcDir: ".stage",
  outDir: "../../.cache/site",
  cleanUrls: true,
  lastUpdated: false,
  themeConfig: {
    outline: [2, 3],
    search: { provider: "local" },
    nav: [
      { text: "First steps", link: "/start" },
      { text: "Guides", link: "/guides/sending" },
      { text: "Reference", link: "/reference/options" },
      { text: `v${version}`, link: "/changelog" },
    ],
    sidebar,
  },
});
