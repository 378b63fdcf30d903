// The batched peer of the benchmark: what a good engineer writes in a day for the same job,
// with franz-go and pgx. Batches of up to 2000 records; one lookup, one transaction of three
// set-based statements with optimistic versions; results produced idempotently, and offsets
// committed, while the next batch is posted.
//
// It leaves out most of what postonce promises: no fence against a zombie, no refunds, no
// minimum balances, no dead letters, no kept conflicts, no transaction around results and
// offsets (a crash between the two answers twice).
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log"
	"math"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"
)

const batchRecords = 2000

type command struct {
	Operation   string `json:"operation"`
	Client      string `json:"client"`
	Source      string `json:"source"`
	Destination string `json:"destination"`
	Amount      string `json:"amount"`
	Currency    string `json:"currency"`
	Reference   string `json:"reference"`
}

type result struct {
	Key       string `json:"idempotency_key"`
	Operation string `json:"operation"`
	Client    string `json:"client"`
	Outcome   string `json:"outcome"`
	Code      string `json:"code,omitempty"`
	Balance   string `json:"balance,omitempty"`
}

type kept struct {
	fingerprint []byte
	result      []byte
}

type account struct {
	id, balance, version, versionBefore int64
	currency                            string
}

type consumer struct {
	kafka    *kgo.Client
	postgres *pgx.Conn
	results  string
}

func header(record *kgo.Record, name string) []byte {
	for _, each := range record.Headers {
		if each.Key == name {
			return each.Value
		}
	}
	return nil
}

// minor reads an amount with two decimals as minor units.
func minor(text string) (int64, error) {
	whole, cents, _ := strings.Cut(text, ".")
	if len(cents) > 2 {
		return 0, fmt.Errorf("amount %q", text)
	}
	value, err := strconv.ParseInt(whole+cents+strings.Repeat("0", 2-len(cents)), 10, 64)
	if err != nil || value <= 0 {
		return 0, fmt.Errorf("amount %q", text)
	}
	return value, nil
}

// batch is what one transaction is made of.
type batch struct {
	records  []*kgo.Record
	keys     []string
	commands []command
	answers  [][]byte
	replayed []bool

	inbox    map[string]kept
	accounts map[string]*account

	newKeys                           []string
	newFingerprints, newResults       [][]byte
	debits, credits, amounts          []int64
	transferKeys                      []string
	debitBalances, creditBalances     []int64
	movedIDs, movedBalances           []int64
	movedVersions, movedVersionBefore []int64
}

func decode(records []*kgo.Record) (*batch, error) {
	b := &batch{records: records, inbox: map[string]kept{}, accounts: map[string]*account{},
		keys: make([]string, len(records)), commands: make([]command, len(records)),
		answers: make([][]byte, len(records)), replayed: make([]bool, len(records))}
	for i, record := range records {
		b.keys[i] = string(header(record, "idempotency-key"))
		if err := json.Unmarshal(record.Value, &b.commands[i]); err != nil || b.keys[i] == "" {
			return nil, fmt.Errorf("record at %d: malformed", record.Offset)
		}
	}
	return b, nil
}

func (c *consumer) lookup(ctx context.Context, b *batch) error {
	names := map[string]struct{}{}
	for i := range b.commands {
		names[b.commands[i].Source] = struct{}{}
		names[b.commands[i].Destination] = struct{}{}
	}
	list := make([]string, 0, len(names))
	for name := range names {
		list = append(list, name)
	}
	both := &pgx.Batch{}
	both.Queue("SELECT key, fingerprint, result FROM inbox WHERE key = ANY ($1)", b.keys)
	both.Queue("SELECT name, account_id, balance, version, currency FROM account"+
		" WHERE name = ANY ($1)", list)
	answers := c.postgres.SendBatch(ctx, both)
	defer answers.Close()
	rows, err := answers.Query()
	if err != nil {
		return err
	}
	var key string
	var row kept
	if _, err := pgx.ForEachRow(rows, []any{&key, &row.fingerprint, &row.result}, func() error {
		b.inbox[key] = kept{slices.Clone(row.fingerprint), slices.Clone(row.result)}
		return nil
	}); err != nil {
		return err
	}
	if rows, err = answers.Query(); err != nil {
		return err
	}
	var name string
	var found account
	_, err = pgx.ForEachRow(rows,
		[]any{&name, &found.id, &found.balance, &found.version, &found.currency}, func() error {
			one := found
			one.versionBefore = one.version
			b.accounts[name] = &one
			return nil
		})
	return err
}

func (b *batch) transfer(key string, command *command) result {
	to := result{Key: key, Operation: command.Operation, Client: command.Client,
		Outcome: "rejected"}
	amount, err := minor(command.Amount)
	debit, credit := b.accounts[command.Source], b.accounts[command.Destination]
	switch {
	case err != nil || command.Operation != "transfer":
		to.Code = "unsupported"
	case debit == nil || credit == nil:
		to.Code = "account_unknown"
	case debit == credit:
		to.Code = "same_account"
	case debit.currency != command.Currency || credit.currency != command.Currency:
		to.Code = "currency_mismatch"
	case debit.balance < math.MinInt64+amount || credit.balance > math.MaxInt64-amount:
		to.Code = "balance_overflow"
	}
	if to.Code != "" {
		return to
	}
	debit.balance -= amount
	credit.balance += amount
	debit.version++
	credit.version++
	b.debits = append(b.debits, debit.id)
	b.credits = append(b.credits, credit.id)
	b.amounts = append(b.amounts, amount)
	b.transferKeys = append(b.transferKeys, key)
	b.debitBalances = append(b.debitBalances, debit.balance)
	b.creditBalances = append(b.creditBalances, credit.balance)
	to.Outcome = "applied"
	to.Balance = fmt.Sprintf("%d.%02d", debit.balance/100, max(debit.balance%100, -(debit.balance%100)))
	return to
}

func (b *batch) decide() error {
	for i, key := range b.keys {
		fingerprint := sha256.Sum256(b.records[i].Value)
		if row, found := b.inbox[key]; found {
			b.replayed[i] = true
			b.answers[i] = row.result
			if !bytes.Equal(row.fingerprint, fingerprint[:]) {
				return fmt.Errorf("key %s is used again for another command", key)
			}
			continue
		}
		answer, err := json.Marshal(b.transfer(key, &b.commands[i]))
		if err != nil {
			return err
		}
		b.answers[i] = answer
		b.inbox[key] = kept{fingerprint[:], answer}
		b.newKeys = append(b.newKeys, key)
		b.newFingerprints = append(b.newFingerprints, fingerprint[:])
		b.newResults = append(b.newResults, answer)
	}
	for _, each := range b.accounts {
		if each.version != each.versionBefore {
			b.movedIDs = append(b.movedIDs, each.id)
			b.movedBalances = append(b.movedBalances, each.balance)
			b.movedVersions = append(b.movedVersions, each.version)
			b.movedVersionBefore = append(b.movedVersionBefore, each.versionBefore)
		}
	}
	return nil
}

func (c *consumer) commit(ctx context.Context, b *batch) error {
	if len(b.newKeys) == 0 {
		return nil
	}
	writes := &pgx.Batch{}
	writes.Queue("BEGIN")
	writes.Queue("INSERT INTO inbox (key, fingerprint, result)"+
		" SELECT unnest($1::text[]), unnest($2::bytea[]), unnest($3::bytea[])",
		b.newKeys, b.newFingerprints, b.newResults)
	writes.Queue("INSERT INTO transfer (debit_account_id, credit_account_id, amount,"+
		" debit_balance, credit_balance, key)"+
		" SELECT unnest($1::bigint[]), unnest($2::bigint[]), unnest($3::bigint[]),"+
		" unnest($4::bigint[]), unnest($5::bigint[]), unnest($6::text[])",
		b.debits, b.credits, b.amounts, b.debitBalances, b.creditBalances, b.transferKeys)
	writes.Queue("UPDATE account a SET balance = w.balance, version = w.version"+
		" FROM (SELECT unnest($1::bigint[]), unnest($2::bigint[]), unnest($3::bigint[]),"+
		" unnest($4::bigint[])) AS w (account_id, balance, version, version_before)"+
		" WHERE a.account_id = w.account_id AND a.version = w.version_before",
		b.movedIDs, b.movedBalances, b.movedVersions, b.movedVersionBefore)
	answers := c.postgres.SendBatch(ctx, writes)
	var moved int64
	for range 4 {
		tag, err := answers.Exec()
		if err != nil {
			answers.Close()
			return err
		}
		moved = tag.RowsAffected()
	}
	if err := answers.Close(); err != nil {
		return err
	}
	if moved != int64(len(b.movedIDs)) {
		return fmt.Errorf("%d of %d accounts were as they had been", moved, len(b.movedIDs))
	}
	_, err := c.postgres.Exec(ctx, "COMMIT")
	return err
}

// post ends with the batch committed, or with an error.
func (c *consumer) post(ctx context.Context, records []*kgo.Record) (*batch, error) {
	var err error
	for range 5 {
		var b *batch
		if b, err = decode(records); err != nil {
			return nil, err
		}
		if err = c.lookup(ctx, b); err == nil {
			err = b.decide()
		}
		if err == nil {
			if err = c.commit(ctx, b); err == nil {
				return b, nil
			}
		}
		c.postgres.Exec(ctx, "ROLLBACK")
	}
	return nil, err
}

func (c *consumer) publish(ctx context.Context, b *batch) error {
	results := make([]*kgo.Record, len(b.records))
	for i, record := range b.records {
		outcome := "false"
		if b.replayed[i] {
			outcome = "true"
		}
		headers := []kgo.RecordHeader{
			{Key: "idempotency-key", Value: []byte(b.keys[i])},
			{Key: "idempotent-replayed", Value: []byte(outcome)}}
		if value := header(record, "correlation-id"); value != nil {
			headers = append(headers, kgo.RecordHeader{Key: "correlation-id", Value: value})
		}
		results[i] = &kgo.Record{Topic: c.results, Key: []byte(b.keys[i]), Value: b.answers[i],
			Headers: headers}
	}
	if err := c.kafka.ProduceSync(ctx, results...).FirstErr(); err != nil {
		return err
	}
	return c.kafka.CommitRecords(ctx, b.records...)
}

func (c *consumer) run(ctx context.Context) error {
	published := make(chan error, 1)
	published <- nil
	for {
		fetches := c.kafka.PollRecords(ctx, batchRecords)
		if ctx.Err() != nil {
			return <-published
		}
		if errs := fetches.Errors(); len(errs) > 0 {
			return errs[0].Err
		}
		records := fetches.Records()
		if len(records) == 0 {
			continue
		}
		posted, err := c.post(ctx, records)
		if err != nil {
			return err
		}
		if err := <-published; err != nil {
			return err
		}
		go func() { published <- c.publish(context.WithoutCancel(ctx), posted) }()
	}
}

func main() {
	if len(os.Args) != 6 {
		fmt.Fprintln(os.Stderr, "usage: peer BOOTSTRAP COMMANDS RESULTS GROUP POSTGRES")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	postgres, err := pgx.Connect(ctx, os.Args[5])
	if err != nil {
		log.Fatal(err)
	}
	kafka, err := kgo.NewClient(kgo.SeedBrokers(os.Args[1]), kgo.ConsumeTopics(os.Args[2]),
		kgo.ConsumerGroup(os.Args[4]), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		log.Fatal(err)
	}
	c := &consumer{kafka, postgres, os.Args[3]}
	if err := c.run(ctx); err != nil {
		log.Fatal(err)
	}
	kafka.Close()
}
