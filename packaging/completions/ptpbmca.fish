# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_ptpbmca_global_optspecs
    string join \n h/help V/version
end

function __fish_ptpbmca_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_ptpbmca_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_ptpbmca_using_subcommand
    set -l cmd (__fish_ptpbmca_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c ptpbmca -n "__fish_ptpbmca_needs_command" -s h -l help -d 'Print help'
complete -c ptpbmca -n "__fish_ptpbmca_needs_command" -s V -l version -d 'Print version'
complete -c ptpbmca -n "__fish_ptpbmca_needs_command" -f -a "follow" -d 'Show a receiver\'s clock, live'
complete -c ptpbmca -n "__fish_ptpbmca_needs_command" -f -a "doctor" -d 'Find out why a speaker stays silent'
complete -c ptpbmca -n "__fish_ptpbmca_needs_command" -f -a "replay" -d 'Show what the library makes of a trace or a packet capture'
complete -c ptpbmca -n "__fish_ptpbmca_needs_command" -f -a "completions" -d 'Print the completions for a shell'
complete -c ptpbmca -n "__fish_ptpbmca_needs_command" -f -a "simulate" -d 'Be a simulated receiver'
complete -c ptpbmca -n "__fish_ptpbmca_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand follow" -l local -d 'An address of this host to send from and receive on' -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand follow" -l ports -d 'The ports, at both ends; real receivers talk to 319 and 320 only' -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand follow" -l role -d 'Which part to play' -r -f -a "auto\t'The better clock leads'
follow\t'Always follow, offer nothing'
lead\t'Always lead'"
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand follow" -l clock -d 'The local clock that times count in' -r -f -a "realtime\t'Nanoseconds since 1970'
monotonic\t'The platform\'s audio clock'"
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand follow" -l domain -d 'PTP domain' -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand follow" -l sdo -d 'majorSdoId to send: 1 for AirPlay, 0 for plain IEEE 1588 masters' -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand follow" -l priority1 -d 'priority1 to announce; 0: by role' -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand follow" -l clock-id -d 'Our clock identity; made from a hardware address by default' -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand follow" -l announce-timeout -d 'Lead after so long without an Announce (role auto)' -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand follow" -l seconds -d 'End after so many seconds' -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand follow" -s v -l verbose -d 'Tell the library\'s log on standard error'
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand follow" -l json -d 'One JSON object per line'
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand follow" -l plain -d 'One line per second, also on a terminal'
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand follow" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand doctor" -l local -d 'An address of this host to send from and receive on' -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand doctor" -l ports -d 'The ports, at both ends; real receivers talk to 319 and 320 only' -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand doctor" -l role -d 'Which part to play' -r -f -a "auto\t'The better clock leads'
follow\t'Always follow, offer nothing'
lead\t'Always lead'"
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand doctor" -l clock -d 'The local clock that times count in' -r -f -a "realtime\t'Nanoseconds since 1970'
monotonic\t'The platform\'s audio clock'"
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand doctor" -l domain -d 'PTP domain' -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand doctor" -l sdo -d 'majorSdoId to send: 1 for AirPlay, 0 for plain IEEE 1588 masters' -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand doctor" -l priority1 -d 'priority1 to announce; 0: by role' -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand doctor" -l clock-id -d 'Our clock identity; made from a hardware address by default' -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand doctor" -l announce-timeout -d 'Lead after so long without an Announce (role auto)' -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand doctor" -l seconds -d 'How long the session is' -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand doctor" -s v -l verbose -d 'Tell the library\'s log on standard error'
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand doctor" -l json -d 'One JSON object'
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand replay" -l csv -d 'Estimates as CSV, a line per Sync/Follow_Up pair; - is standard output, and the default without --plot' -r -F
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand replay" -l plot -d 'A picture: samples, the published line, its bound, epochs' -r -F
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand replay" -l receiver -d 'Whose clock to follow; repeat for several addresses of it' -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand replay" -l sender -d 'Who follows it' -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand replay" -l event-port -d 'The port of event messages in the capture' -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand replay" -l general-port -d 'The port of general messages in the capture' -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand replay" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand completions" -s h -l help -d 'Print help'
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l address -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l event-port -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l general-port -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l peer -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l count -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l clock-id -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l uptime -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l skew-ppm -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l correction-ms -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l gm-priority1 -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l sync-interval-ms -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l delay-resp-sign -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l delay-resp-latency-ms -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l loss -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l jitter-ms -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l duplicate -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l reorder -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l seed -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l restart-at -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l restart-uptime -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l restart-silence -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l silence-at -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l silence-for -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l grandmaster-at -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l grandmaster-step-ms -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l grandmaster-skew-ppm -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l grandmaster-id -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l step-at -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l step-ms -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l die-at -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l truth -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l pairs -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l duration -r
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l only-peers
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l standalone
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l only-when-silent
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l wake-up
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l thin-announces
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l never-announce
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l never-sync
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l no-delay-resp
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand simulate" -l both-ways
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand help; and not __fish_seen_subcommand_from follow doctor replay completions simulate help" -f -a "follow" -d 'Show a receiver\'s clock, live'
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand help; and not __fish_seen_subcommand_from follow doctor replay completions simulate help" -f -a "doctor" -d 'Find out why a speaker stays silent'
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand help; and not __fish_seen_subcommand_from follow doctor replay completions simulate help" -f -a "replay" -d 'Show what the library makes of a trace or a packet capture'
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand help; and not __fish_seen_subcommand_from follow doctor replay completions simulate help" -f -a "completions" -d 'Print the completions for a shell'
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand help; and not __fish_seen_subcommand_from follow doctor replay completions simulate help" -f -a "simulate" -d 'Be a simulated receiver'
complete -c ptpbmca -n "__fish_ptpbmca_using_subcommand help; and not __fish_seen_subcommand_from follow doctor replay completions simulate help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
