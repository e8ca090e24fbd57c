export default function Page() {
  return <main>page /signin</main>;
}
