// Stands in for Dify's web: takes its keep-alive from the environment as the standalone server of Next.js does
// (dist/build/utils.js and dist/server/lib/start-server.js of next 16.2.7), answers a static file by itself and
// every page with an answer of api.
import { createServer } from "node:http";

const server = createServer(async (request, response) => {
  if (request.url !== "/favicon.ico") {
    await fetch(`${process.env.SERVER_CONSOLE_API_URL}/console/api/system-features`);
  }
  response.end("ok");
});

const keepAliveTimeout = parseInt(process.env.KEEP_ALIVE_TIMEOUT, 10);
if (keepAliveTimeout > 0) {
  server.keepAliveTimeout = keepAliveTimeout;
}
server.listen(parseInt(process.env.PORT, 10), process.env.HOSTNAME, () => console.log("Ready"));
