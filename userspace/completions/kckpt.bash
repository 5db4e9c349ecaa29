# SPDX-License-Identifier: GPL-2.0-only
# bash completion for kckpt

# The directories of cgroup v2, as paths below its mount.
_kckpt_cgroups() {
	local mount
	mount=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
	[ -n "$mount" ] || return
	compgen -d -- "$mount$1" | while read -r path; do printf '%s\n' "${path#"$mount"}"; done
}

# KIND:ID. A ':' has cut the word in the eyes of bash, so only what follows it is completed.
_kckpt_external() {
	local kinds='file: dev: tty'
	[ "$2" = restore ] || kinds="pipe: socket: $kinds"
	compopt -o nospace
	mapfile -t COMPREPLY < <(compgen -W "$kinds" -- "$1")
}

_kckpt() {
	local commands='dump restore check show verify flatten auto forget freeze thaw monitor features version'
	local global='--json --quiet --stats --help'
	local job='--pid --freeze-timeout'
	local events='begun frozen captured progress saved instantiated complete committed thawed released killed'
	events+=' failed expired closed'
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command='' word options=''

	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		[[ " $commands " == *" $word "* ]] && command=$word && break
	done
	if [[ ${COMP_WORDS[COMP_CWORD - 2]} == --external || ${COMP_WORDS[COMP_CWORD - 3]} == --external ]]; then
		case $prev:$cur in
		:*) mapfile -t COMPREPLY < <(compgen -f -- "$cur") && return ;;
		file:: | dev::) mapfile -t COMPREPLY < <(compgen -f /) && return ;;
		esac
	fi
	case $prev in
	--pid)
		mapfile -t COMPREPLY < <(compgen -W "$(cd /proc && printf '%s ' [0-9]*)" -- "$cur")
		return ;;
	--files)
		local ways=capture
		[ "$command" != restore ] || ways='changed strict'
		mapfile -t COMPREPLY < <(compgen -W "$ways" -- "$cur")
		return ;;
	--cgroup)
		mapfile -t COMPREPLY < <(_kckpt_cgroups "$cur")
		return ;;
	-o | --output | --pidfile | --parent)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return ;;
	--external)
		_kckpt_external "$cur" "$command"
		return ;;
	--until)
		mapfile -t COMPREPLY < <(compgen -W "$events" -- "$cur")
		return ;;
	-d | --directory)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return ;;
	--on-signal)
		mapfile -t COMPREPLY < <(compgen -W 'TERM INT HUP USR1 USR2' -- "$cur")
		return ;;
	--session | --*-timeout | --max-pause | --max-cow | --inherit-fd | --every | --keep | --whole-every | --name | --count)
		return ;;
	esac

	case $command in
	'') options="$commands --version" ;;
	dump)
		options="$job --output --leave-running --leave-frozen --keep-snapshot --parent --inherit-fd --external"
		options+=' --files --max-pause --max-cow --direct --stall-timeout' ;;
	auto)
		options="$job --directory --every --keep --whole-every --name --count --on-signal --inherit-fd --external"
		options+=' --files --max-pause --max-cow --direct' ;;
	flatten) options='--output --parent' ;;
	forget) options='--pid --all' ;;
	verify) options='--parent' ;;
	restore) options='--parent --detach --cgroup --pidfile --dry-run --inherit-fd --external --leave-frozen --files --stall-timeout'
		options+=' --keep-snapshot' ;;
	check) options="$job --inherit-fd --external --files" ;;
	freeze) options=$job ;;
	thaw) options='--pid' ;;
	show) options='--records' ;;
	monitor) options='--session --once --until' ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$options $global" -- "$cur")
	[[ $cur == -* ]] && return
	case $command in
	dump | auto | check | forget | freeze | thaw) mapfile -t COMPREPLY < <(_kckpt_cgroups "$cur") ;;
	restore | show | verify | flatten) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	esac
}
complete -o filenames -F _kckpt kckpt
