// A member of a consumer group: arguments are host, port, group.
//
// Prints "GOT partition offset value" for each record that it read, and the same with "AT" when its
// offset is committed, or with "TRIED" when it does not know whether it is. Leaves the group when it
// is told to stop (SIGTERM). MEMBER_SESSION_MS and MEMBER_PACE_MS: how long it may be silent, and how
// long it rests after up to 100 records.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const stream = "mqtt"

func main() {
	host, port, group := os.Args[1], os.Args[2], os.Args[3]
	stop, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	client, err := kgo.NewClient(
		kgo.SeedBrokers(host+":"+port),
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(stream),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(milliseconds("MEMBER_SESSION_MS", 6000)),
		kgo.HeartbeatInterval(500*time.Millisecond),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
	)
	if err != nil {
		panic(err)
	}
	for stop.Err() == nil {
		records := client.PollRecords(stop, 100).Records()
		if len(records) > 0 {
			take(client, records)
			time.Sleep(milliseconds("MEMBER_PACE_MS", 0))
		}
		client.AllowRebalance()
	}
	client.CloseAllowingRebalance()
}

func take(client *kgo.Client, records []*kgo.Record) {
	show("GOT", records)
	if err := client.CommitRecords(context.Background(), records...); err != nil {
		fmt.Println("LOST", err)
		show("TRIED", records)
		return
	}
	show("AT", records)
}

func show(word string, records []*kgo.Record) {
	var lines strings.Builder
	for _, it := range records {
		fmt.Fprintln(&lines, word, it.Partition, it.Offset, string(it.Value))
	}
	fmt.Print(lines.String())
}

func milliseconds(variable string, otherwise int) time.Duration {
	number, err := strconv.Atoi(os.Getenv(variable))
	if err != nil {
		number = otherwise
	}
	return time.Duration(number) * time.Millisecond
}
