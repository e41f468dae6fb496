package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// newCompletion prints scripts that complete commands, flags and names when Tab is pressed.
func newCompletion(out streams) *cobra.Command {
	c := &cobra.Command{
		Use:     "completion",
		Short:   "Print a script that completes commands when Tab is pressed",
		Example: "  strandline completion bash > strandline.bash && source strandline.bash",
		Args:    knownCommand,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(
		completionFor(out, "bash", `  source <(strandline completion bash)
  mkdir -p ~/.local/share/bash-completion/completions && strandline completion bash > ~/.local/share/bash-completion/completions/strandline`,
			func(root *cobra.Command, to io.Writer) error { return root.GenBashCompletionV2(to, true) }),
		completionFor(out, "zsh", "  mkdir -p ~/.zfunc && strandline completion zsh > ~/.zfunc/_strandline   # with fpath+=~/.zfunc before compinit in ~/.zshrc",
			func(root *cobra.Command, to io.Writer) error { return root.GenZshCompletion(to) }),
		completionFor(out, "fish", "  mkdir -p ~/.config/fish/completions && strandline completion fish > ~/.config/fish/completions/strandline.fish",
			func(root *cobra.Command, to io.Writer) error { return root.GenFishCompletion(to, true) }),
	)
	return c
}

func completionFor(out streams, shell, example string, write func(*cobra.Command, io.Writer) error) *cobra.Command {
	return &cobra.Command{
		Use:     shell,
		Short:   "Print the completion script for " + shell,
		Long:    fmt.Sprintf("Print the completion script for %s. With it, Tab completes commands, flags, types of events and names of projections.", shell),
		Example: example,
		Args:    noArguments,
		RunE:    func(c *cobra.Command, _ []string) error { return write(c.Root(), out.out) },
	}
}

// withHelp gives the help of commands an example of its own.
func withHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		if c.Name() == "help" {
			c.Example = "  strandline help log tail"
		}
	}
}
