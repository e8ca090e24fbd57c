// As Dify's web (web/proxy.ts at 01c57acda), as far as it decides about paths.
import { NextResponse } from "next/server";

export function proxy(request) {
  const headers = new Headers(request.headers);
  headers.set("x-dify-pathname", request.nextUrl.pathname);
  return NextResponse.next({ request: { headers } });
}

export const config = { matcher: [{ source: "/((?!_next/static|favicon.ico).*)" }] };
