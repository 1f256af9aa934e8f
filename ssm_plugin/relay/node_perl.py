"""The relay as it runs at the node where there is no Python, under Perl 5.16 and newer.

It does what the one in Python does, by the same names, but looks up names without threads: a slow
look-up holds up the other streams for as long as it takes.
"""

SOURCE = r'''
use strict;
use Errno qw(EAGAIN EINTR EINPROGRESS EADDRINUSE EPIPE);
use Fcntl qw(F_GETFL F_SETFL O_NONBLOCK);
use IO::Poll qw(POLLIN POLLOUT POLLERR POLLHUP POLLNVAL);
use MIME::Base64 qw(encode_base64);
use POSIX ();
use Socket qw(:DEFAULT :addrinfo IPPROTO_TCP IPPROTO_IPV6 IPV6_V6ONLY TCP_NODELAY);
my ($token, $lease, $spare, $wanted) = @ARGV;
my ($HELLO, $DATA, $FIN, $CREDIT, $RESET, $MORE, $ECHO) = 0 .. 6;
my ($WINDOW, $PIECE, $FULL, $STRANGERS, $SILENCE) = (1 << 20, 32768, 1 << 18, 64, 5);
my $GONE = POLLERR | POLLHUP | POLLNVAL;
my $ticks = POSIX::sysconf(POSIX::_SC_CLK_TCK());
my ($out, $number, $issued, $heard, $told) = ("", 0, 0, now(), 0);
my (%secrets, %streams, @strangers);
$SIG{PIPE} = "IGNORE";

sub now { return (POSIX::times())[0] / $ticks }
sub later { return $! == EAGAIN || $! == EINTR }
sub nonblocking {
    my ($file) = @_;
    fcntl($file, F_SETFL, fcntl($file, F_GETFL, 0) | O_NONBLOCK);
}

# --- What goes down: numbered lines of base64 on standard output.
sub report {
    my ($stream, $kind, $data) = @_;
    $data = "" unless defined $data;
    $number++;
    $out .= "~$number $stream $kind " . length($data) . " " . encode_base64($data, "") . "\n";
}
sub flush_out {
    my $before = length $out;
    while (length $out) {
        my $sent = syswrite(STDOUT, $out, 65536);
        if (!defined $sent) { last if later(); exit 0 }
        substr($out, 0, $sent, "");
    }
    # Where nothing is taken at all, there is nothing to add either.
    if ($FULL / 2 < length($out) && length($out) < $before && now() - $told >= 1) {
        $told = now();
        report(0, "w", "");
    }
}

# --- Secrets: each has the number of the one stream that it is good for.
sub random16 {
    open(my $file, "<", "/dev/urandom") or exit 1;
    sysread($file, my $data, 16) == 16 or exit 1;
    return $data;
}
sub issue {
    $secrets{++$issued} = random16();
    report($issued, "s", $secrets{$issued});
}
sub is_known {
    my ($stream, $secret) = @_;
    my $mine = exists $secrets{$stream} ? $secrets{$stream} : random16();
    my $wrong = length($secret) ^ 16;
    $wrong |= ord(substr($mine, $_, 1)) ^ ord(substr($secret . "\0" x 16, $_, 1)) for 0 .. 15;
    return !$wrong && exists $secrets{$stream};
}

# --- One connection from the agent, and the target that it leads to.
sub read_up {
    my ($s) = @_;
    my $size = sysread($s->{up}, my $data, 65536);
    return if !defined $size && later();
    if (!$size) {
        # The rest of an upload that is whole is still for a target that has ended before.
        my $owed = $s->{target} && $s->{up_ended} && $s->{down_ended};
        return $owed ? hang_up($s) : drop($s);
    }
    $heard = now() if $s->{id};
    $s->{got} .= $data;
    while ($s->{up} && length($s->{got}) >= 3) {
        my ($kind, $size) = unpack("Cn", $s->{got});
        return drop($s) if !$s->{id} && ($kind != $HELLO || $size > 300);
        return if length($s->{got}) < 3 + $size;
        my $data = substr($s->{got}, 3, $size);
        substr($s->{got}, 0, 3 + $size, "");
        take($s, $kind, $data);
    }
}
sub take {
    my ($s, $kind, $data) = @_;
    if (!$s->{id}) {
        my ($stream, $secret, $port) = unpack("Na16n", $data . "\0" x 22);
        return drop($s) if !is_known($stream, $secret);
        delete $secrets{$stream};
        @strangers = grep { $_ != $s } @strangers;
        ($s->{id}, $heard) = ($stream, now());
        issue();
        return report($stream, "o") if !$port;
        dial($s, length($data) > 22 ? substr($data, 22) : "", $port);
    } elsif ($kind == $DATA) {
        $s->{waiting} .= $data;
        return fail($s) if length($s->{waiting}) > $WINDOW;
        write_target($s);
    } elsif ($kind == $FIN) {
        $s->{up_ended} = 1;
        write_target($s);
    } elsif ($kind == $CREDIT) {
        $s->{credit} += $data;
    } elsif ($kind == $RESET) {
        close_target($s, 1);
    } elsif ($kind == $MORE) {
        issue();
    } elsif ($kind == $ECHO) {
        report($s->{id}, "e", $data);
    }
}
sub dial {
    my ($s, $host, $port) = @_;
    my @found;
    $s->{why} = "there is no such host";
    for my $one (length $host ? $host : ("127.0.0.1", "::1")) {
        my ($error, @addresses) = getaddrinfo($one, $port, {socktype => SOCK_STREAM});
        $s->{why} = "$error" if $error;
        push @found, @addresses;
    }
    $s->{addresses} = \@found;
    try_next($s);
}
sub try_next {
    my ($s) = @_;
    close(delete $s->{dialling}) if $s->{dialling};
    while (my $address = shift @{$s->{addresses}}) {
        next unless socket(my $sock, $address->{family}, SOCK_STREAM, 0);
        nonblocking($sock);
        if (connect($sock, $address->{addr}) || $! == EINPROGRESS) {
            @$s{"dialling", "until"} = ($sock, now() + 10);
            return;
        }
        $s->{why} = "$!";
    }
    $s->{down_ended} = $s->{deaf} = 1;
    report($s->{id}, "x", substr($s->{why}, 0, 200));
}
sub connected {
    my ($s) = @_;
    my $error = unpack("i", getsockopt($s->{dialling}, SOL_SOCKET, SO_ERROR));
    if ($error) {
        $! = $error;
        $s->{why} = "$!";
        return try_next($s);
    }
    $s->{target} = delete $s->{dialling};
    setsockopt($s->{target}, IPPROTO_TCP, TCP_NODELAY, 1);
    report($s->{id}, "o");
    write_target($s);
}
sub write_target {
    my ($s) = @_;
    return unless $s->{target};
    while (length $s->{waiting} && !$s->{deaf}) {
        my $sent = syswrite($s->{target}, $s->{waiting}, 65536);
        if (!defined $sent) {
            return if later();
            return fail($s) if $s->{down_ended};
            @$s{"deaf", "error"} = (1, $! + 0);
            last;
        }
        substr($s->{waiting}, 0, $sent, "");
        count($s, $sent);
    }
    if ($s->{up_ended} && !$s->{deaf}) {
        $s->{deaf} = 1;
        shutdown($s->{target}, 1);
    }
    if ($s->{deaf}) {
        count($s, length $s->{waiting});
        $s->{waiting} = "";
    }
    close_target($s) if $s->{up_ended} && $s->{down_ended};
}
sub count {
    my ($s, $size) = @_;
    @$s{"taken", "since"} = ($s->{taken} + $size, now());
    if ($s->{taken} >= $WINDOW / 4) {
        report($s->{id}, "c", $s->{taken});
        $s->{taken} = 0;
    }
}
sub read_target {
    my ($s) = @_;
    my $most = $s->{credit} < $PIECE ? $s->{credit} : $PIECE;
    my $size = sysread($s->{target}, my $data, $most);
    if (!defined $size) { return later() ? undef : fail($s) }
    $s->{credit} -= $size;
    return report($s->{id}, "d", $data) if $size;
    $s->{down_ended} = 1;
    # A reset shows in one call only. Where a write has met it, this looks like an end; it is one
    # if the write has failed with EPIPE: then the target had ended before it went.
    report($s->{id}, "f") if !$s->{error} || $s->{error} == EPIPE;
    return fail($s) if $s->{error};
    close_target($s) if $s->{deaf};
}
sub fail {
    my ($s) = @_;
    report($s->{id}, "r");
    close_target($s, 1);
}
sub close_target {
    my ($s, $reset) = @_;
    my $sock = delete $s->{target};
    $s->{deaf} = $s->{down_ended} = 1;
    delete $streams{$s} if !$s->{up};
    return unless $sock;
    setsockopt($sock, SOL_SOCKET, SO_LINGER, pack("ii", 1, 0)) if $reset;
    close($sock);
}
sub hang_up {
    my ($s) = @_;
    close(delete $s->{up});
    $s->{since} = now();
}
sub drop {
    my ($s) = @_;
    @strangers = grep { $_ != $s } @strangers;
    close(delete $s->{dialling}) if $s->{dialling};
    hang_up($s) if $s->{up};
    close_target($s, 1);
}
sub may_read {
    my ($s) = @_;
    return $s->{credit} > 0 && length($out) < $FULL && !$s->{down_ended};
}
sub watch {
    my ($s, $poll) = @_;
    $poll->mask($s->{up} => POLLIN) if $s->{up};
    $poll->mask($s->{dialling} => POLLOUT) if $s->{dialling};
    return unless $s->{target};
    my $mask = may_read($s) ? POLLIN : 0;
    $mask |= POLLOUT if length $s->{waiting} || $s->{up_ended} && !$s->{deaf};
    # The end of both directions is always told: it would wake us without end.
    $mask |= POLLERR unless $s->{hung};
    $poll->mask($s->{target} => $mask) if $mask;
}
sub attend {
    my ($s, $poll) = @_;
    my ($up, $target, $dialling) = @$s{"up", "target", "dialling"};
    my $events = $target ? $poll->events($target) : 0;
    connected($s) if $dialling && $poll->events($dialling);
    $s->{hung} = 1 if $events & $GONE;
    write_target($s) if $s->{target} && $events & POLLOUT;
    if ($s->{target} && $events & (POLLIN | $GONE) && may_read($s)) {
        read_target($s);
    } elsif ($s->{target} && $events & $GONE && $s->{down_ended}) {
        fail($s);
    }
    read_up($s) if $s->{up} && $poll->events($up);
    if ($s->{dialling} && now() >= $s->{until}) {
        $s->{why} = "timed out";
        try_next($s);
    }
}

# --- The loop.
sub listen_at_both {
    # Both addresses of the name localhost: nobody else may have the other one.
    for my $one ($wanted, (0) x 20) {
        socket(my $four, PF_INET, SOCK_STREAM, 0) or exit 1;
        bind($four, pack_sockaddr_in($one, inet_aton("127.0.0.1"))) or next;
        my ($port) = unpack_sockaddr_in(getsockname($four));
        my @found = ($four);
        if (socket(my $six, PF_INET6, SOCK_STREAM, 0)) {
            setsockopt($six, IPPROTO_IPV6, IPV6_V6ONLY, 1);
            if (bind($six, Socket::pack_sockaddr_in6($port, Socket::inet_pton(PF_INET6, "::1")))) {
                push @found, $six;
            } elsif ($! == EADDRINUSE) { next }
        }
        for (@found) { listen($_, 128) or exit 1; nonblocking($_) }
        return ($port, @found);
    }
}
sub accept_one {
    my ($listener) = @_;
    # Out of descriptors, it stays readable.
    accept(my $up, $listener) or return select(undef, undef, undef, 0.01);
    nonblocking($up);
    my %fields = (id => 0, since => now(), got => "", waiting => "", taken => 0);
    my $s = {%fields, up => $up, credit => $WINDOW};
    drop($strangers[0]) if @strangers >= $STRANGERS;
    $streams{$s} = $s;
    push @strangers, $s;
}
my ($port, @listeners) = listen_at_both();
my $parent = getppid();
nonblocking(\*STDOUT);
$out .= "\n\@$token $port\n";
issue() for 1 .. $spare;
while (getppid() == $parent && now() - $heard < $lease) {
    flush_out();
    my $poll = IO::Poll->new;
    $poll->mask(\*STDOUT => POLLERR | (length $out ? POLLOUT : 0));
    $poll->mask($_ => POLLIN) for @listeners;
    my @now = values %streams;
    watch($_, $poll) for @now;
    $poll->poll(1);
    exit 0 if $poll->events(\*STDOUT) & $GONE;
    for (@listeners) { accept_one($_) if $poll->events($_) }
    for (@now) { attend($_, $poll) if $streams{$_} }
    for (my @all = @strangers) { drop($_) if now() - $_->{since} >= $SILENCE }
    # Targets that are owed the rest, but take nothing of it.
    for (grep { !$_->{up} } values %streams) { drop($_) if now() - $_->{since} >= $lease }
}
exit 0;
'''
