"""What the grid operator orders through its control box, kept for two years."""

from django.db import migrations, models


_CAUSES = [("contact", "contact"), ("silent", "silent"), ("settings", "settings")]


class Migration(migrations.Migration):

    dependencies = [
        ('station', '0017_session_limits'),
    ]

    operations = [
        migrations.CreateModel(
            name='DimmingIntervention',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('began_at', models.DateTimeField()),
                ('began_boot_id', models.CharField(blank=True, default='', max_length=36)),
                ('began_steady_ms', models.BigIntegerField(blank=True, null=True)),
                ('carried_out_at', models.DateTimeField(blank=True, null=True)),
                ('carried_out_boot_id', models.CharField(blank=True, default='', max_length=36)),
                ('carried_out_steady_ms', models.BigIntegerField(blank=True, null=True)),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('ended_boot_id', models.CharField(blank=True, default='', max_length=36)),
                ('ended_steady_ms', models.BigIntegerField(blank=True, null=True)),
                ('power_w', models.PositiveIntegerField()),
                ('begun_by', models.CharField(choices=_CAUSES, max_length=10)),
                ('ended_by', models.CharField(blank=True, choices=_CAUSES, default='', max_length=10)),
                ('greatest_w', models.PositiveIntegerField(blank=True, null=True)),
                ('greatest_carried_out_w', models.PositiveIntegerField(blank=True, null=True)),
                ('watt_ms', models.BigIntegerField(default=0)),
                ('measured_ms', models.BigIntegerField(default=0)),
                ('begin_told_at', models.DateTimeField(blank=True, null=True)),
                ('end_told_at', models.DateTimeField(blank=True, null=True)),
                ('refusals', models.PositiveSmallIntegerField(default=0)),
            ],
            options={
                'verbose_name': 'intervention of the grid operator',
                'verbose_name_plural': 'interventions of the grid operator',
                'indexes': [models.Index(fields=['began_at'], name='station_dim_began_a_26a23d_idx'), models.Index(fields=['ended_at'], name='station_dim_ended_a_266937_idx')],
            },
        ),
    ]
