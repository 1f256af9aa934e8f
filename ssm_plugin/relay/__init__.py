"""Fast tunnels: down through a command's output, up through a port session.

The agent at a node sleeps a millisecond after each KiB of a terminal or port session, so that no
download is faster than 0.7 MB/s. What a command writes whose outputs are separate is not paced. So
a command session starts a small *relay* at the node (``node_python``, ``node_perl``: whichever the
node can run, by ``launch``). It listens on the node's loopback and tells us, by its standard
output, its port and secrets of 128 bits that it has made itself. For each local connection we open
a stream to that port, in a port session of the ordinary kind. The stream begins with a secret,
which is good once, and the target; the relay connects to it. What comes from the target goes down
as numbered lines of base64 on the relay's standard output, each with the number of its stream; what
goes up goes through the stream itself, in frames, so that the end of one direction is a frame as
well and half-closed connections stay half-closed (``messages``, pure). Nothing is sent up before
the relay has told, by the way down, that it has taken the stream: whoever else may have got hold of
its port by then learns a secret that is worth nothing, and no data.

Each direction of each stream has a window of its own (``messages``): one that nobody reads stops
alone, and neither side ever keeps more than a window for each direction of a stream. Our side joins
the halves (``streams``, ``reader``): its connections, the thread that writes to them, and the
session of either half are those of all tunnels. ``relay`` runs the command session; ``stdio`` is
the runner of the port session for SSH and ``local_ports`` that for tunnels; ``choice`` says whether
a tunnel may be fast at all, and ``liveness`` whether the relay is reached, and still heard after
the command session has lost its connection. A tunnel counts as lost while either session is without
its connection.

Once both ends of a connection have been told, our side lets go of its stream. The relay then keeps
what a target that had ended first has not taken yet, for as long as it goes on taking some: one
that takes nothing for a lease (the time without a word from us after which a relay ends) is reset.

The relay ends with its session, whose end kills it; with its standard output or its parent, if it
is the agent that ends; and, should we have been killed, once it has heard nothing from us for
longer than any connection takes to be resumed. It opens no file. To other users of the node it is
an open port that answers nothing: who brings no secret is hung up on, after five seconds if silent.
"""
