"""`keras-mobilenets web`."""

import contextlib
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from keras_mobilenets.cli.output import say
from keras_mobilenets.cli.sources import add_adoption, add_pixels, add_sources, converted
from keras_mobilenets.cli.startup import import_tensorflow
from keras_mobilenets.errors import UserError

PURPOSE = "make a page that times models in a phone's browser, and serve it"
EXAMPLE = """keras-mobilenets web runs/photos --serve
  keras-mobilenets web runs/bundle --out site"""


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    add_sources(parser, "run folders, .tflite files or model files; or one bundle")
    parser.add_argument("--out", metavar="DIR", help="the site (default: site in the run folder, or beside the bundle)")
    parser.add_argument("--title", metavar="TEXT", help="what the page calls the models (default: the folder's name)")
    parser.add_argument("--labelled", type=int, default=200, metavar="N", help="test images for top-1 (default: 200)")
    parser.add_argument("--serve", action="store_true", help="serve it to this network until Ctrl-C")
    parser.add_argument("--port", type=int, default=8443, metavar="N", help="to serve at (default: 8443)")
    parser.add_argument(
        "--http",
        action="store_true",
        help="serve without encryption: other machines' browsers get one thread, no WebGPU",
    )
    add_pixels(parser)
    add_adoption(parser)


def run(options: Namespace) -> None:
    """Writes the site, and serves it when asked."""
    from keras_mobilenets import tflite

    out = Path(options.out) if options.out else _usual_place(Path(options.sources[0]))
    with _bundle(options) as folder:
        site = tflite.write_site(folder, out)
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) / 1e6
    say(f"{site}: {size:.1f} MB; keras-mobilenets report shows the results.json that the page gives, beside the run")
    if options.serve:
        _serve(site, options.port, is_secure=not options.http)


def _usual_place(source: Path) -> Path:
    if not source.is_dir():
        raise UserError(f"{source} is no folder that a site could lie in; give --out")
    return source.with_name(f"{source.name}_site") if _is_bundle(source) else source / "site"


def _is_bundle(source: Path) -> bool:
    from keras_mobilenets.tflite.bundles.manifest import NAME

    return (source / NAME).is_file()


@contextlib.contextmanager
def _bundle(options: Namespace) -> Iterator[Path]:
    """The bundle that was given, or one of the runs."""
    given = [Path(source) for source in options.sources]
    if len(given) == 1 and _is_bundle(given[0]):
        yield given[0]
        return
    import_tensorflow(options)
    from keras_mobilenets import tflite

    sources = converted(options.sources, options, ["pixels"])
    title = options.title or sources[0].resolve().name
    with tempfile.TemporaryDirectory() as folder:
        yield tflite.bundle(
            sources, Path(folder) / "bundle", labelled=options.labelled, title=title, pixels=options.pixels
        )


def _serve(site: Path, port: int, *, is_secure: bool) -> None:
    """Serves until Ctrl-C."""
    import segno

    from keras_mobilenets.tflite.web.server import address, server

    with server(site, port, is_secure=is_secure) as made:
        url = f"{'https' if is_secure else 'http'}://{address()}:{made.server_address[1]}/"
        segno.make(url, error="m").terminal(compact=True)
        print(url, flush=True)
        if is_secure:
            say("the browser warns once: this machine signed the certificate itself")
        say("Ctrl-C ends it")
        made.serve_forever()
