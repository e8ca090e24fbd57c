// As Dify's web (web/next.config.ts at 0055b983d), as far as it decides about paths.
export default {
  output: "standalone",
  outputFileTracingRoot: import.meta.dirname,
  turbopack: { root: import.meta.dirname },
  redirects: async () => [{ source: "/", destination: "/apps", permanent: false }],
};
