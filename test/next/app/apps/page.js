export default function Page() {
  return <main>page /apps</main>;
}
