// Made for each request, as the pages of published apps are.
export default async function Page({ params }) {
  await params;
  return <main>page /chat</main>;
}
