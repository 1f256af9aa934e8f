"""Text with characters of 1 to 4 bytes, from a seed: the same at the node and here.

As a program, ``commands_text.py SEED OUT ERR STATUS``, it writes so many bytes to stdout and to
stderr, by turns, and exits with that status.
"""

import sys


def text(seed, size):
    """Pieces of it, ``size`` bytes in all; none ends within a character."""
    number, characters = seed, []
    for _ in range(5000):
        number = (number * 1103515245 + 12345) % (1 << 31)
        characters.append("aé€😀\n"[(number >> 16) % 5])
    block = "".join(characters).encode("utf-8")
    while size >= len(block):
        yield block
        size -= len(block)
    rest = block[:size].decode("utf-8", "ignore").encode("utf-8")
    yield rest + b"." * (size - len(rest))


def main():
    seed, out, err, status = map(int, sys.argv[1:])
    streams = [(sys.stdout.buffer, text(seed, out)), (sys.stderr.buffer, text(seed + 1, err))]
    while streams:
        for pair in list(streams):
            piece = next(pair[1], None)
            if piece is None:
                streams.remove(pair)
            else:
                pair[0].write(piece)
                pair[0].flush()
    sys.exit(status)


if __name__ == "__main__":
    main()
