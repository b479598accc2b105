# The way in: every target is one script under scripts/, which can as well be called by itself.
.PHONY: help run stop test bench lint receiver clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 20

run: ## from a fresh Debian with Rust to a running system; prints a curl line that works
	@scripts/run

stop: ## stop the gateway and the private Postgres that `make run` started
	@scripts/stop

test: ## the same set-up, then lints and every test
	@scripts/test

bench: ## speed against the yardsticks, on a private Postgres of its own; some 20 minutes
	@scripts/bench

lint: ## rustfmt and clippy, warnings are errors
	@scripts/lint

receiver: ## a small webhook receiver that prints what arrives; SECRET=whsec_… checks the signature
	@scripts/receiver

clean: ## stop, and remove everything under target/, data included
	@scripts/clean
