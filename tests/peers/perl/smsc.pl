# A message centre with Perl's Net::SMPP, the second codec that is not ours: perl smsc.pl PORT PASSWORD
# Tells what happens as JSON, one a line; is told what to do the same way. It ends when its stdin does.
use strict;
use warnings;
use IO::Select;
use JSON::PP;
use Net::SMPP;

$| = 1;
my ($port, $password) = @ARGV;
my $json = JSON::PP->new->canonical;
sub tell_of { print $json->encode({@_}), "\n" }

my $server = Net::SMPP->new_listen('127.0.0.1', port => $port, smpp_version => 0x34) or die "listen: $!";
tell_of(event => 'listening', port => $server->sockport + 0);
my ($client, @answers, %asked, $receipts);
my $taken = 0;
my $ready = IO::Select->new($server, \*STDIN);

sub hang_up {
    $ready->remove($client);
    close $client;
    undef $client;
    tell_of(event => 'close');
}

sub part {
    my ($pdu) = @_;
    my $answer = @answers ? shift @answers : 0;
    tell_of(
        event => 'submit', answer => $answer, hex => unpack('H*', $pdu->{short_message} // ''),
        payload => unpack('H*', $pdu->{message_payload} // ''), source => $pdu->{source_addr},
        source_ton => $pdu->{source_addr_ton} + 0, destination => $pdu->{destination_addr},
        data_coding => $pdu->{data_coding} + 0, esm_class => $pdu->{esm_class} + 0,
        registered => $pdu->{registered_delivery} + 0,
        sar => [map { defined $pdu->{$_} ? unpack('H*', $pdu->{$_}) : undef }
            qw(sar_msg_ref_num sar_total_segments sar_segment_seqnum)],
    );
    return if $answer eq 'silent';
    return hang_up() if $answer eq 'destroy';
    my $id = 4000000000 + ++$taken;
    $client->submit_sm_resp(seq => $pdu->seq, status => $answer, message_id => $answer ? '' : "$id");
    return if $answer or !$receipts or !$pdu->{registered_delivery};
    # Answered in decimal, reported in hexadecimal.
    $asked{$client->deliver_sm(
        source_addr => $pdu->{destination_addr}, destination_addr => $pdu->{source_addr}, esm_class => 4,
        short_message => sprintf('id:%X sub:001 dlvrd:000 done date:261128120130 stat:UNDELIV err:034 Text:', $id),
        async => 1
    )} = 'receipt';
}

sub packet {
    my ($pdu) = @_;
    my $cmd = $pdu->cmd;
    if (my ($kind) = grep { $cmd == $_->[0] } [1, 'receiver'], [2, 'transmitter'], [9, 'transceiver']) {
        my $right = $pdu->{system_id} eq 'us' && $pdu->{password} eq $password;
        my $answer = "bind_$kind->[1]_resp";
        $client->$answer(seq => $pdu->seq, system_id => 'perl', status => $right ? 0 : 14);
        tell_of(event => 'bind', kind => $kind->[1], right => $right ? JSON::PP::true : JSON::PP::false);
    }
    elsif ($cmd == 4) { part($pdu) }
    elsif ($cmd == 0x15) { $client->enquire_link_resp(seq => $pdu->seq) }
    elsif ($cmd == 6) {
        tell_of(event => 'unbind');
        $client->unbind_resp(seq => $pdu->seq);
        hang_up();
    }
    elsif ($cmd == 0x80000005) {
        tell_of(event => 'answer', id => delete $asked{$pdu->seq}, status => $pdu->status + 0);
    }
}

while (1) {
    for my $handle ($ready->can_read) {
        if ($handle == $server) {
            $client = $server->accept or next;
            $ready->add($client);
        }
        elsif ($handle == \*STDIN) {
            sysread(STDIN, my $lines, 65536) or exit 0;
            for my $line (split /\n/, $lines) {
                my $told = $json->decode($line);
                @answers = @{ $told->{answers} } if $told->{do} eq 'answers';
                $receipts = 1 if $told->{do} eq 'receipts';
                if ($told->{do} eq 'deliver') {
                    my %fields = %{ $told->{fields} };
                    $fields{short_message} = pack('H*', $told->{hex}) if defined $told->{hex};
                    $asked{$client->deliver_sm(%fields, async => 1)} = $told->{id};
                }
                tell_of(event => 'told');
            }
        }
        elsif ($client && $handle == $client) {
            my $pdu = $client->read_pdu;
            $pdu ? packet($pdu) : hang_up();
        }
    }
}
